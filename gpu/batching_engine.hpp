#pragma once

#include "gpu/model_backend.hpp"
#include "gpu/prefix_index.hpp"
#include "gpu/request_queue.hpp"
#include "gpu/sampler.hpp"

#include <limits>
#include <optional>
#include <set>
#include <unordered_map>

namespace troupe {

/// What the engine keeps of a sequence between its turns.
struct kept_sequence {
  std::uint64_t id, group;
  kv_sequence kv;
  prefix_chain chain; ///< of what kv holds, as far as others may find it
  std::uint64_t last_used = 0;
  bool generating = false, forget_after = false;

  kept_sequence(std::uint64_t i, std::uint64_t g, kv_pool& pool) : id(i), group(g), kv(pool) {}
};

/// A request, from its submission to its end.
struct running_request {
  generate_request request;
  static constexpr int protected_rank = std::numeric_limits<int>::min();
  std::uint64_t number = 0; ///< in order of submission
  int rank = 0;             ///< its priority; a protected request's is before all others (ENG-5)
  int preempted = 0;        ///< how often
  generated out;

  bool before(const running_request& other) const {
    return std::pair(rank, number) < std::pair(other.rank, other.number);
  }

  // -- while it has its place in the batch
  kept_sequence* sequence = nullptr;
  std::vector<token> tokens;   ///< context, then what was generated
  prefix_chain chain;          ///< of its tokens when it came into the batch
  std::vector<token> distinct; ///< of its tokens, each once; where they are penalised
  std::vector<bool> seen;      ///< by token: is it among them?
  int told = 0;                ///< context tokens whose logprobs are known, where they are asked for

  // -- of the current step
  int rows = 0;
  std::optional<ranked_token> drawn;
  std::vector<ranked_token> likeliest;

  int missing() const { return static_cast<int>(tokens.size()) - sequence->kv.size(); }
};

/// The scheduler of every engine, whatever computes. Requests wait in order for a place in the batch and for the KV blocks of their tokens so far. Idle
/// sequences, the least recently used first, are evicted when their blocks are needed; when that is not enough, the running request that
/// is last in order is preempted (ENG-5). The first in order is never preempted, and submit refuses what does not fit alone, so it ends.
class batching_engine final : public engine_core {
public:
  /// `sampling`: the kernels that logits become tokens with; the same for every backend.
  batching_engine(const model_config& config, const engine_limits& limits,
                  std::unique_ptr<model_backend> backend, const cpu_kernels& sampling);

  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override;
  expected<void> submit(generate_request request) override;
  bool cancel(std::uint64_t sequence) override;
  void forget(std::uint64_t sequence) override;
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override;
  engine_stats stats() const override;

private:
  // -- requests (batching_engine.cpp)
  expected<void> check(const generate_request& request) const;
  std::size_t longest(const generate_request& request) const;
  void admit();
  bool has_room_for(const running_request& request) const;
  void start(std::unique_ptr<running_request> request);
  void preempt_last();
  void release(kept_sequence& sequence);
  void cut(kept_sequence& sequence, int positions);
  void show_prefixes(kept_sequence& sequence);
  kept_sequence& sequence_for(const generate_request& request);
  void retire(running_request& request);
  void see(running_request& request, token t) const;
  void erase(kept_sequence& sequence);
  bool make_room(std::int64_t blocks);

  // -- a step (batching_engine_step.cpp)
  void plan_rows();
  bool waits_for_kin(running_request& request, std::size_t place);
  void reserve_rows(running_request& request, std::size_t place);
  void compute();
  void list_rows(running_request& request);
  void take_logits(running_request& request, int position, float* logits, sampler_space& space) const;
  std::optional<finish_reason> take_draw(running_request& request);

  model_config config_;
  engine_limits limits_;
  std::unique_ptr<model_backend> backend_;
  const cpu_kernels* sampling_;
  kv_pool pool_;
  bool has_weights_ = false;
  std::uint64_t version_ = 0;
  std::vector<model_row> rows_;               ///< of the current step
  std::vector<running_request*> requests_;    ///< of each row
  mutable std::vector<sampler_space> spaces_; ///< of each of the backend's workers

  std::unordered_map<std::uint64_t, std::unique_ptr<kept_sequence>> kept_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> idle_; ///< (last use, id): the first goes first
  std::unordered_map<std::uint64_t, std::vector<kept_sequence*>> groups_;
  request_queue waiting_;
  prefix_index<kept_sequence> prefixes_;
  std::vector<std::unique_ptr<running_request>> running_; ///< in order of rank and number
  std::set<std::uint64_t> busy_;                          ///< waiting or running
  std::vector<generated> aborted_;                        ///< come out of the next step
  std::uint64_t uses_ = 0, submitted_ = 0;
  engine_stats stats_;
};

} // namespace troupe
