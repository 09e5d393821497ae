#include "sim/checks.hpp"
#include "sim/run.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

constexpr double token_time = 0.01, interval = 0.05;

drawn_world small() {
  drawn_world drawn;
  drawn.eta = 0;
  drawn.steps = drawn.groups = 1;
  drawn.group_size = 3;
  drawn.turns = 2;
  drawn.questions = 1;
  drawn.eval_every = 0;
  drawn.token_time = token_time;
  drawn.journal_interval = interval;
  return drawn;
}

/// Every turn, tool result and verdict.
std::map<std::string, std::string> left(const evidence& of) {
  std::map<std::string, std::string> out;
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records) out[r.key] = r.body;
  return out;
}

/// What was sampled and is in no turn.
std::int64_t lost(const evidence& of) {
  std::int64_t kept = 0;
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records)
      if (r.kind == "turn")
        kept += static_cast<std::int64_t>(json::parse(r.body)->get_object().at("tokens").get_array().size());
  return static_cast<std::int64_t>(of.sampled) - kept;
}

struct struck {
  std::int64_t most_lost = 0, cases = 0;
};

/// Whoever it is dies before the n-th message of a run, for every n: token by token, since a step of the engine is a message.
struck strike_everywhere(drawn_world drawn, const std::string& whom,
                         const std::map<std::string, std::string>& expected) {
  struck out;
  const auto messages = static_cast<std::int64_t>(run_seed(drawn, 0).deliveries);
  for (std::int64_t at = 0; at < messages; at += std::getenv("TROUPE_ALL") ? 1 : 2, ++out.cases) {
    SCOPED_TRACE((whom.empty() ? "the power" : whom) + " before message " + std::to_string(at));
    drawn.strike_at = at;
    drawn.strike_whom = whom;
    const auto run = run_seed(drawn, 0);
    EXPECT_EQ(find_check("liveness")->look(run).value_or(""), "");
    EXPECT_EQ(find_check("turns_as_written")->look(run).value_or(""), "");
    EXPECT_EQ(left(run), expected);
    out.most_lost = std::max(out.most_lost, lost(run));
    if (testing::Test::HasFailure()) break;
  }
  return out;
}

TEST(ATurnInProgress, GoesOnAtTheTokenThatACrashLeftAndIsTheSameAsUninterrupted) { // ENGA-3, JRN-1
  const auto undisturbed = run_seed(small(), 0);
  EXPECT_EQ(lost(undisturbed), 0);
  EXPECT_FALSE(undisturbed.journal.empty());
  const auto expected = left(undisturbed);
  // At most six at a time (three rollouts, three of an evaluation): each loses what it sampled within an interval, and while the record was on
  // its way.
  constexpr auto bound = static_cast<std::int64_t>(6 * (interval / token_time + 2));
  for (const std::string whom : {"", "engine", "rollout/", "rollouts", "store"}) {
    const auto found = strike_everywhere(small(), whom, expected);
    EXPECT_GT(found.cases, 400);
    EXPECT_LE(found.most_lost, bound) << whom;
    std::printf("%-10s killed at %lld points: at most %lld tokens sampled again\n",
                whom.empty() ? "the power" : whom.c_str(), static_cast<long long>(found.cases),
                static_cast<long long>(found.most_lost));
    if (whom == "rollout/") {
      EXPECT_EQ(found.most_lost, 0) << "a living engine loses nothing";
    }
  }
}

TEST(WithoutAJournal, ACrashCostsTheTurnsInProgress) {
  auto drawn = small();
  drawn.journal_interval = 0;
  const auto expected = left(run_seed(drawn, 0));
  const auto found = strike_everywhere(drawn, "engine", expected);
  EXPECT_GT(found.most_lost, static_cast<std::int64_t>(6 * (interval / token_time + 2)));
}

TEST(TheJournalOfARun, TakesLessThanItsTurns) {
  auto drawn = small();
  drawn.steps = 3;
  const auto run = run_seed(drawn, 1);
  std::size_t journal = 0, turns = 0;
  for (const auto& r : run.journal) journal += r.body.size();
  for (const auto& [stream, records] : run.rollouts)
    for (const auto& r : records) turns += r.kind == "turn" ? r.body.size() : 0;
  EXPECT_GT(journal, 0u);
  EXPECT_LT(journal, turns);
  std::printf("journal: %zu records, %zu bytes; turns: %zu bytes\n", run.journal.size(), journal, turns);
  drawn.journal_interval = 10; // turns that are complete by then are not written
  EXPECT_TRUE(run_seed(drawn, 1).journal.empty());
}

} // namespace
} // namespace troupe::sim
