#pragma once

#include "gpu/cpu_engine.hpp"
#include "gpu/cpu_model.hpp"
#include "gpu/request_queue.hpp"
#include "gpu/sampler.hpp"
#include "gpu/worker_pool.hpp"

#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace troupe {

/// What the engine keeps of a sequence between its turns.
struct kept_sequence {
  std::uint64_t id, group;
  kv_sequence kv;
  std::uint64_t last_used = 0;
  bool generating = false, forget_after = false;

  kept_sequence(std::uint64_t i, std::uint64_t g, kv_pool& pool) : id(i), group(g), kv(pool) {}
};

/// A request, from its submission to its end.
struct running_request {
  generate_request request;
  std::uint64_t number = 0; ///< in order of submission
  generated out;

  // -- while it has its place in the batch
  kept_sequence* sequence = nullptr;
  std::vector<token> tokens; ///< context, then what was generated
  std::int64_t reserved_blocks = 0;
  std::vector<token> distinct; ///< of its tokens, each once; where they are penalised
  std::vector<bool> seen;      ///< by token: is it among them?
  int told = 0;                ///< context tokens whose logprobs are known, where they are asked for

  // -- of the current step
  int rows = 0;
  std::optional<ranked_token> drawn;
  std::vector<ranked_token> likeliest;

  int missing() const { return static_cast<int>(tokens.size()) - sequence->kv.size(); }
};

/// The scheduler of the CPU engine. Requests wait in order for a place in the batch and for a reservation of
/// KV blocks up to their longest possible end, so that nothing that runs is ever preempted; what is reserved
/// but not yet used serves as cache for idle sequences, the least recently used of which are evicted when
/// their blocks are needed.
class cpu_engine final : public engine_core {
public:
  cpu_engine(const model_config& config, const engine_limits& limits, const cpu_kernels& kernels);

  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override;
  expected<void> submit(generate_request request) override;
  bool cancel(std::uint64_t sequence) override;
  void forget(std::uint64_t sequence) override;
  bool step(std::vector<generated>& finished, std::vector<token_news>* news) override;
  engine_stats stats() const override;

private:
  /// The share of one thread in a step.
  struct part {
    cpu_model::workspace space;
    sampler_space sampling;
    std::vector<model_row> rows;
    std::vector<running_request*> requests; ///< of each row
  };

  // -- requests (cpu_engine.cpp)
  expected<void> check(const generate_request& request) const;
  std::size_t longest(const generate_request& request) const;
  void admit();
  kept_sequence& sequence_for(const generate_request& request);
  void retire(running_request& request);
  void see(running_request& request, token t) const;
  void erase(kept_sequence& sequence);
  bool make_room(std::int64_t blocks);

  // -- a step (cpu_engine_step.cpp)
  void plan_rows();
  bool waits_for_group(running_request& request, std::size_t place);
  void compute();
  void compute_part(part& work) const;
  void take_logits(running_request& request, int position, float* logits, sampler_space& space) const;
  std::optional<finish_reason> take_draw(running_request& request);

  model_config config_;
  engine_limits limits_;
  const cpu_kernels& kernels_;
  rope_table rope_;
  kv_pool pool_;
  worker_pool workers_;
  std::vector<part> parts_;
  std::unique_ptr<const cpu_model> model_;
  std::uint64_t version_ = 0;

  std::unordered_map<std::uint64_t, std::unique_ptr<kept_sequence>> kept_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> idle_; ///< (last use, id): the first goes first
  std::unordered_map<std::uint64_t, std::vector<kept_sequence*>> groups_;
  request_queue waiting_;
  std::vector<std::unique_ptr<running_request>> running_; ///< in order of admission
  std::set<std::uint64_t> busy_;                          ///< waiting or running
  std::int64_t reserved_blocks_ = 0;
  std::vector<generated> aborted_; ///< come out of the next step
  std::uint64_t uses_ = 0, submitted_ = 0;
  engine_stats stats_;
};

} // namespace troupe
