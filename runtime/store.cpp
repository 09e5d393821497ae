#include "runtime/store.hpp"

#include "runtime/base/planted.hpp"
#include "runtime/message_types.hpp"
#include <algorithm>
#include <mutex>

namespace troupe {

std::vector<append_result> event_store::append_group(std::span<const append_request> requests) {
  std::vector<append_result> out;
  for (auto& request : requests) out.push_back(append(request));
  return out;
}

// -- openers

namespace {

/// One life's view of a store that outlives it. The lock: a killed life may still be in its last append.
class shared_store final : public event_store {
public:
  struct held {
    std::mutex guard;
    std::unique_ptr<event_store> store;
  };
  explicit shared_store(std::shared_ptr<held> it) : it_(std::move(it)) {}

  append_result append(append_request records) override {
    std::scoped_lock lock(it_->guard);
    return it_->store->append(records);
  }
  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    std::scoped_lock lock(it_->guard);
    return it_->store->append_group(requests);
  }
  expected<std::vector<record>> read_stream(const std::string& stream) override {
    std::scoped_lock lock(it_->guard);
    return it_->store->read_stream(stream);
  }
  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after_seq,
                                          std::size_t most) override {
    std::scoped_lock lock(it_->guard);
    return it_->store->read_kind(kind, after_seq, most);
  }
  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    std::scoped_lock lock(it_->guard);
    return it_->store->count_kinds();
  }
  expected<store_position> position(std::uint64_t seq) override {
    std::scoped_lock lock(it_->guard);
    return it_->store->position(seq);
  }
  duration busy() const override {
    std::scoped_lock lock(it_->guard);
    return it_->store->busy();
  }

private:
  std::shared_ptr<held> it_;
};

} // namespace

store_opener memory_store(const clock& time) {
  auto it = std::make_shared<shared_store::held>();
  return [it, &time]() -> expected<std::unique_ptr<event_store>> {
    std::scoped_lock lock(it->guard);
    if (!it->store) {
      auto made = event_store::open(":memory:", time);
      if (!made) return made;
      it->store = std::move(*made);
    }
    return std::make_unique<shared_store>(it);
  };
}

// -- the actor

namespace {
using commit_atom = caf::atom_constant<caf::atom("commit")>;
using read_on_atom = caf::atom_constant<caf::atom("read_on")>;
constexpr std::size_t rows_at_once = 128;                            ///< some 0.3 ms
constexpr std::size_t group_requests = 8192, group_bytes = 16 << 20; ///< bounds of one commit
constexpr auto commits_apart = std::chrono::milliseconds(2);
} // namespace

store_actor::store_actor(self_ptr self, store_opener open, thread_policy threads)
    : self_(self), open_(std::move(open)), own_thread_(threads.own_threads) {
  threads.name_own(name);
}

behavior store_actor::make_behavior() {
  auto opened = open_();
  if (!opened) {
    self_->quit(to_caf(opened.error()));
    return {};
  }
  store_ = std::move(*opened);
  self_->set_exit_handler([this](caf::exit_msg& asked) { // a kill gets past it
    store_->last_life();
    self_->quit(std::move(asked.reason));
  });
  for (const char* kind : {"fence", "placement"}) {
    auto known = store_->read_kind(kind, 0);
    if (!known) {
      self_->quit(to_caf(known.error()));
      return {};
    }
    for (const auto& r : *known) fences_.learn(r.kind, r.stream, r.key);
  }
  return {
      [this](append_records& request) -> result<std::vector<append_outcome>> {
        if (request.fence.epoch != 0 && !request.records.empty())
          if (auto ok = fences_.admit(request.fence, request.records[0].stream); !ok) // STORE-4
            return to_caf(ok.error());
        reply<std::vector<append_outcome>> answer(self_);
        auto promise = answer.promise();
        for (auto& one : request.records) waiting_bytes_ += one.body.size();
        const auto count = request.records.size();
        const bool fences = std::any_of(request.records.begin(), request.records.end(),
                                        [](const new_record& r) { return store_fences::is_fence(r.kind); });
        waiting_.push_back({std::move(request.records), std::move(answer)});
        if (planted("ack_before_commit")) waiting_.back().answer.deliver(std::vector<append_outcome>(count));
        // The commit queues behind every append that is in the mailbox now: they all share it.
        if (waiting_.size() == 1) self_->send(self_, commit_atom::value);
        if (fences || waiting_.size() >= group_requests || waiting_bytes_ >= group_bytes) commit();
        return promise;
      },
      [this](commit_atom) {
        if (const auto left = time_for_company(); left > duration(0))
          self_->delayed_send(self_, left, commit_atom::value); // reads need not wait
        else
          commit();
      },
      [this](const read_stream& request) {
        commit_before([&](const new_record& r) { return r.stream == request.stream; });
        return answer(store_->read_stream(request.stream));
      },
      [this](const read_kind& request) {
        commit_before([&](const new_record& r) { return r.kind == request.kind; });
        reply<std::vector<record>> answer(self_);
        auto promise = answer.promise();
        if (auto end = store_->position())
          read_on({request.kind, request.after_seq, end->seq, {}, std::move(answer)});
        else
          answer.fail(end.error());
        return promise;
      },
      [this](read_on_atom) {
        auto next = std::move(readings_.front());
        readings_.pop_front();
        read_on(std::move(next));
      },
      [this](const read_position& request) {
        commit();
        return answer(store_->position(request.seq));
      },
      [this](const store_metrics_request&) {
        metrics_.busy_seconds = seconds(store_->busy());
        return metrics_;
      },
  };
}

duration store_actor::time_for_company() const {
  if (!own_thread_ || last_group_ < 2 || waiting_.empty()) return duration(0);
  return last_begin_ + commits_apart - std::chrono::steady_clock::now();
}

void store_actor::read_on(reading it) {
  auto rows = store_->read_kind(it.kind, it.after, rows_at_once);
  if (!rows) return it.answer.fail(rows.error());
  const bool last = rows->size() < rows_at_once;
  while (!rows->empty() && rows->back().seq > it.until) rows->pop_back();
  if (!rows->empty()) it.after = rows->back().seq;
  const bool done = last || rows->size() < rows_at_once;
  it.rows.insert(it.rows.end(), std::move_iterator(rows->begin()), std::move_iterator(rows->end()));
  if (done) return it.answer.deliver(std::move(it.rows));
  readings_.push_back(std::move(it));
  self_->send(self_, read_on_atom::value);
}

template <class Missed>
void store_actor::commit_before(const Missed& missed) {
  constexpr std::size_t few = 256; // looked through faster than committed
  if (waiting_.size() > few || std::any_of(waiting_.begin(), waiting_.end(), [&](const pending& one) {
        return std::any_of(one.records.begin(), one.records.end(), missed);
      }))
    commit();
}

void store_actor::commit() {
  if (waiting_.empty()) return;
  last_group_ = waiting_.size();
  last_begin_ = std::chrono::steady_clock::now();
  auto group = std::exchange(waiting_, {});
  waiting_bytes_ = 0;
  std::vector<append_request> requests;
  requests.reserve(group.size());
  for (auto& one : group) requests.push_back(one.records);
  auto results = store_->append_group(requests);
  ++metrics_.commits;
  metrics_.disk_full = false;
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (results[i]) {
      metrics_.records += results[i]->size();
      for (const auto& r : group[i].records) fences_.learn(r.kind, r.stream, r.key);
      group[i].answer.deliver(std::move(*results[i]));
    } else {
      metrics_.disk_full |= results[i].error().code == errc::disk_full;
      group[i].answer.fail(results[i].error());
    }
  }
}

} // namespace troupe
