#pragma once

#include "gpu/barrier.hpp"
#include "gpu/cpu_model.hpp"
#include "gpu/model_backend.hpp"
#include "gpu/worker_pool.hpp"

namespace troupe {

/// The forward pass by the kernels of the CPU (gpu/cpu_model.hpp), on threads that share a step as `work_split` says. The bits depend
/// neither on the split nor on the number of threads.
class cpu_backend final : public model_backend {
public:
  cpu_backend(const model_config& config, const engine_limits& limits, const kernel_set& kernels);

  void begin(int block) override { memory_.begin(block); }
  void copy(int from, int to, int positions) override { memory_.copy(from, to, positions); }
  void set_weights(const weights_ptr& weights) override;
  int workers() const override { return workers_.size(); }
  void forward(const std::vector<model_row>& rows, const consumer& consume) override;

private:
  bool works_together(int sequences) const;
  void compute_alone(const std::vector<model_row>& rows, const consumer& consume);
  void compute_together(const std::vector<model_row>& rows, const consumer& consume);

  model_config config_;
  work_split split_;
  kernel_set kernels_;
  rope_table rope_;
  cpu_kv_memory memory_;
  worker_pool workers_;
  barrier meeting_;
  std::unique_ptr<const cpu_model> model_;
  std::vector<cpu_model::workspace> spaces_; ///< of each thread
  std::vector<int> begins_;                  ///< of each thread's rows, in a step where each has its own
};

} // namespace troupe
