#include "tests/system/process.hpp"

#include "runtime/base/file.hpp"
#include "runtime/store.hpp"

#include <algorithm>
#include <bit>
#include <csignal>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using namespace troupe;
using tests::process;
using tests::scratch;
using tests::small_run;
namespace fs = std::filesystem;

namespace {

/// Every record of a store, in order.
std::vector<record> all_records(const fs::path& file) {
  auto store = event_store::open_reader(file, system_clock()).value();
  std::vector<record> out;
  const auto kinds = store->count_kinds().value();
  for (const auto& [kind, count] : kinds) {
    auto some = store->read_kind(kind).value();
    out.insert(out.end(), some.begin(), some.end());
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  return out;
}

json::object body_of(const record& r) { return json::parse(r.body)->get_object(); }

record& find(std::vector<record>& all, const std::string& key) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& r) { return r.key == key; });
  if (found == all.end()) throw std::runtime_error("no record " + key);
  return *found;
}

/// A copy of the run, all checksums right, with other records in it.
void copy_run(const fs::path& from, const fs::path& to,
              const std::function<void(std::vector<record>&)>& change) {
  fs::copy(from, to, fs::copy_options::recursive);
  for (const char* file : {"run.db", "run.db-wal", "run.db-shm"}) fs::remove(to / file);
  auto all = all_records(from / "run.db");
  change(all);
  auto store = event_store::open(to / "run.db", system_clock()).value();
  std::vector<new_record> records;
  for (auto& r : all) records.push_back({r.stream, r.kind, r.key, r.body});
  ASSERT_TRUE(store->append(records));
}

json::object replay_of(const scratch& place, const std::string& run, int expected_code) {
  return tests::printed_object({"replay", run, "--json"}, place.path(), expected_code, 240s);
}

} // namespace

/// A real asynchronous run with eta 2, an actor killed now and then, tools that fail, rollouts parked, kill -9 in the middle: it comes out again, bit
/// for bit; and whatever is changed in its records is named. One run serves all of it.
TEST(ARecordedRun, ReplaysToTheSameWeightsAndNamesWhatWasTamperedWith) { // REPL-1 to REPL-4
  scratch place;
  auto words = small_run(
      {"rl.mode=async", "rl.eta=2", "rl.steps=10", "eval.before=false", "eval.every=0", "warmup.steps=300",
       "warmup.drills_first=0", "warmup.drills_last=0", "checkpoint.keep=20", "tools.simulated_latency=0.05",
       "rollout.time_budget=0.2", "faults.enabled=true", "health.patience=10",
       "faults.plan=[kill any rate=0.7, fail tool at=call share=0.05, garbage tool at=call "
       "share=0.05, throw learner "
       "at=after_step share=0.1]"});
  auto run = process::troupe(words, place.path());
  ASSERT_TRUE(run.says("\"kind\":\"step\",\"step\":3", 120s)) << run.err();
  run.signal(SIGKILL);
  run.wait(10s);
  std::vector<fs::path>
      checkpoints; // the newest is lost: what it knew is undone, and its weights had sampled tokens
  for (const auto& one : fs::directory_iterator(place.path() / "runs/small/checkpoints"))
    if (one.path().filename().string().starts_with("step-")) checkpoints.push_back(one.path());
  ASSERT_GE(checkpoints.size(), 2u);
  const auto step_of = [](const fs::path& one) { return std::stoi(one.filename().string().substr(5)); };
  fs::remove_all(*std::max_element(checkpoints.begin(), checkpoints.end(),
                                   [&](const auto& a, const auto& b) { return step_of(a) < step_of(b); }));
  words.push_back("--resume");
  auto again = process::troupe(words, place.path());
  ASSERT_EQ(again.wait(240s), 0) << again.err();

  const auto folder = place.path() / "runs/small";
  const auto all = all_records(folder / "run.db");
  std::size_t parked = 0, faults = 0, mixed = 0;
  std::string consumption, trained, observed;
  for (const auto& r : all) {
    parked += r.kind == "park";
    faults += r.kind == "fault";
    if (r.kind == "turn") {
      const auto versions = body_of(r).at("versions").as_array();
      mixed += !versions.empty() && versions.front() != versions.back();
    }
    if (r.kind == "consumption" && trained.empty() && body_of(r).at("trained").as_array().size() >= 2) {
      consumption = r.key;
      trained = body_of(r).at("trained").as_array()[0].as_string();
    }
  }
  ASSERT_FALSE(trained.empty());
  EXPECT_GT(parked, 0u);
  EXPECT_GT(faults, 0u);
  std::cout << parked << " times parked, " << faults << " faults, " << mixed
            << " turns of more than one version\n";

  const auto equal = replay_of(place, "runs/small", 0);
  EXPECT_EQ(equal.at("equal"), json::value(true));
  EXPECT_GT(equal.at("steps").to_number<int>(), 10); // the undone ones too
  EXPECT_GE(equal.at("rollbacks").to_number<int>(), 1);
  EXPECT_GE(equal.at("rollouts").to_number<int>(), 10 * 16);
  EXPECT_GT(equal.at("tokens").to_number<int>(), 1000);
  EXPECT_GT(equal.at("verdicts").to_number<int>(), 0);
  EXPECT_EQ(equal.at("not_compared"), json::value(0));
  auto some = process::troupe({"replay", "runs/small", "--steps", "10..10", "--rollouts", "3", "--json"},
                              place.path());
  ASSERT_EQ(some.wait(120s), 0) << some.err();
  EXPECT_EQ(json::parse(some.out())->get_object().at("rollouts").to_number<int>(), 3) << some.out();

  int copies = 0;
  const auto tampered = [&](const std::function<void(std::vector<record>&)>& change) {
    const auto name = "runs/copy-" + std::to_string(++copies);
    copy_run(folder, place.path() / name, change);
    const auto facts = replay_of(place, name, 1);
    EXPECT_EQ(facts.at("equal"), json::value(false)) << json::dump(facts);
    return facts.at("difference").is_object() ? facts.at("difference").get_object() : json::object{};
  };
  const auto turn_key = "turn/" + trained + "/0";
  const auto in_first_turn = [&](const char* list, const std::function<void(json::array&)>& change) {
    return [=](std::vector<record>& records) {
      auto& r = find(records, turn_key);
      auto body = body_of(r);
      change(body[list].as_array());
      r.body = json::dump(body);
    };
  };
  auto token = tampered(in_first_turn(
      "tokens", [](json::array& tokens) { tokens[1] = tokens[1].as_int64() == 300 ? 301 : 300; }));
  EXPECT_EQ(token.at("rollout"), json::value(trained)) << json::dump(token);
  EXPECT_EQ(token.at("turn"), json::value(0));
  EXPECT_EQ(token.at("token"), json::value(1));
  auto bit = tampered(in_first_turn("logprobs", [](json::array& logprobs) { // the last bit of a float
    const auto x = static_cast<float>(logprobs[2].to_number<double>());
    logprobs[2] = static_cast<double>(std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ 1u));
  }));
  EXPECT_EQ(bit.at("rollout"), json::value(trained)) << json::dump(bit);
  EXPECT_EQ(bit.at("token"), json::value(2));
  auto reward = tampered([&](std::vector<record>& records) {
    auto& r = find(records, "verdict/" + trained);
    auto body = body_of(r);
    body["reward"] = body["reward"].to_number<double>() + 0.5;
    r.body = json::dump(body);
  });
  EXPECT_EQ(reward.at("what"), json::value("the verdict")) << json::dump(reward);
  EXPECT_EQ(reward.at("rollout"), json::value(trained));
  auto order = tampered([&](std::vector<record>& records) {
    auto& r = find(records, consumption);
    auto body = body_of(r);
    auto& list = body["trained"].as_array();
    std::swap(list[0], list[1]);
    r.body = json::dump(body);
  });
  EXPECT_EQ(order.at("what"), json::value("what the step consumed: trained, place 0")) << json::dump(order);

  copy_run(folder, place.path() / "runs/later", [&](std::vector<record>& records) {
    auto& r = find(records, consumption);
    auto body = body_of(r);
    body["made"].as_object()["format"] = 2;
    r.body = json::dump(body);
  });
  auto later = process::troupe({"replay", "runs/later"}, place.path());
  EXPECT_EQ(later.wait(60s), 2);
  EXPECT_NE(later.err().find("recording format 2, expected 1"), std::string::npos) << later.err();
  fs::copy(folder, place.path() / "runs/keep", fs::copy_options::recursive);
  const auto configured = *read_file(place.path() / "runs/keep/config.yaml");
  const auto refused = [&](const std::string& section, const std::string& was, const std::string& is,
                           const std::string& why) {
    auto yaml = configured;
    const auto at = yaml.find(was, yaml.find("\n" + section + ":"));
    ASSERT_NE(at, std::string::npos);
    yaml.replace(at, was.size(), is);
    ASSERT_TRUE(write_file_atomically(place.path() / "runs/keep/config.yaml", yaml));
    auto other = process::troupe({"replay", "runs/keep"}, place.path());
    EXPECT_EQ(other.wait(60s), 2);
    EXPECT_NE(other.err().find(why), std::string::npos) << other.err();
  };
  refused("rl", "kv_on_update: recompute", "kv_on_update: keep",
          "rl.kv_on_update is keep, expected recompute");
  refused("engine", "device: cpu", "device: auto", "engine.device is auto, expected cpu");
}
