#pragma once

#include "actors/ask_named.hpp"
#include "actors/engine/token_journal.hpp"
#include <unordered_map>

namespace troupe {

/// Owns one generation engine and its KV cache. Continuous batching: requests join and leave between any two steps.
///
/// | asks                  | for                                                             |
/// | store: append_records | the journal of tokens, at most once per rollout.journal_interval |
/// | store: read_kind      | the journal of earlier lives, at its start                      |
/// | in                    | out                                                      |
/// | generate              | generated, when the turn is complete; tokens_sampled to its listener meanwhile |
/// | cancel_generation     | -  (its generate fails, its place is free before the next step) |
/// | cancel_listened       | -  (the same for every turn that has a listener)         |
/// | pause_engine          | done: no step until it goes on                           |
/// | new_weights           | done: every later token has this version                 |
/// | forget_sequence       | -  (its KV is freed)                                     |
/// | engine_status_request | engine_status                                            |
///
/// | backpressure: loop    | consumes        | waits for                             | unblocked by                  |
/// | engine_step           | admitted turns  | KV memory                             | a finished sequence           |
/// | journal               | sampled tokens  | the interval, the record before it    | a timer, the store            |
/// Callers are bounded: one open turn per rollout, and the rollout manager bounds the rollouts. While the store is away, turns go on
/// without a journal; it is behind, and no longer than the turns in progress.
///
///   ENGA-1  Weights change between two steps, never inside one; running sequences are not drained. Where they go back to an older
///           version, turns that have newer tokens lose those and are asked for again.
///   ENGA-2  A restarted engine takes the published weights before its first step; it lost KV, which is computed again, and of each turn in
///           progress the tokens since the last record of the journal.
///   ENGA-3  A repeated request for a turn replaces the older one, whose asker is dead; the turn goes on after what is known of it,
///           in this life or from the journal, and its tokens keep their logprobs and versions.
///   ENGA-4  A listener hears of every token of its sequences that is sampled, in order, before the turn's `generated` is sent. Turns with
///           a listener are not journaled: who listens has their tokens.
///   ENGA-5  Where there are several nodes: no step without its node's lease (actors/cluster/node_lease.hpp), and no journal yet.
///   ENGA-6  What an earlier life of a rollout tells it to forget comes late, when a later life's turn is open already: the turn is not
///           touched, and what is known of it stays until it is answered.
///   ENGA-7  Of the learner's weights only those on the board are taken: a late copy of an older message changes nothing.
///   ENGA-8  They are compared with the board's checksum first. Damaged ones are refused as corrupt, and the learner publishes them
///           again; nothing is sampled from them.
class engine_actor {
public:
  static constexpr const char* name = "engine";
  engine_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  struct open_turn {
    reply<generated> answer;
    std::size_t known = 0; ///< tokens that its request had already
    bool journaled = false;
    actor_ref listener{};
    std::size_t context = 0;  ///< tokens of its request's
    std::uint64_t oldest = 0; ///< the version that its asker wants at least
    bool forget = false;      ///< once it is answered
  };
  void take(generate ask, reply<generated> answer);
  void take_weights(const weights_ptr& weights, std::uint64_t version, std::uint64_t lineage,
                    std::optional<kv_policy> policy = {});
  void deliver(generated turn);
  expected<void> check(const weights_ptr& weights, const weight_board::entry& published);
  void step();
  void schedule();
  void spread_news();
  void cancel(std::uint64_t sequence);
  // -- the journal
  bool journaling() const { return !ctx_->cluster && ctx_->config.rollout.journal_interval > 0; }
  void read_journal(std::uint64_t newest, std::uint64_t back);
  void take_in(std::vector<record> records);
  void journal_ready();
  void journal_unreadable(const error& why);
  void schedule_journal();
  void write_journal();
  bool may_sample() const;
  void stop_sampling();

  self_ptr self_;
  context_ptr ctx_;
  std::unique_ptr<engine_core> core_;
  std::unordered_map<std::uint64_t, open_turn> open_; ///< by sequence
  std::vector<generated> finished_;
  std::vector<token_news> news_;
  std::uint64_t version_ = 0, lineage_ = 0;
  bool damaged_ = false; ///< the last weights that came were
  bool has_weights_ = false, scheduled_ = false, paused_ = false;
  duration started_{}, busy_{};

  token_journal journal_;
  bool journal_read_ = false, journal_due_ = false, journal_busy_ = false;
  std::vector<std::pair<generate, reply<generated>>> early_; ///< while it is being read
  std::vector<std::uint64_t> went_back_;                     ///< to these versions, meanwhile
  std::uint64_t journal_records_ = 0, journal_bytes_ = 0, journal_kept_ = 0;
};

} // namespace troupe
