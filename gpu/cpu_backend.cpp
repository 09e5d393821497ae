#include "gpu/cpu_backend.hpp"

namespace troupe {

cpu_backend::cpu_backend(const model_config& config, const engine_limits& limits, const kernel_set& kernels)
    : config_(config),
      split_(limits.split),
      kernels_(kernels),
      rope_(config),
      memory_(kv_layout(config)),
      workers_(limits.threads),
      meeting_(limits.threads),
      spaces_(static_cast<std::size_t>(limits.threads)) {}

void cpu_backend::set_weights(const weights_ptr& weights) {
  model_ = std::make_unique<const cpu_model>(*weights, kernels_);
  for (auto& space : spaces_)
    if (space.x.size() == 0) space = model_->make_workspace();
}

void cpu_backend::forward(const std::vector<model_row>& rows, const consumer& consume) {
  int sequences = 0;
  for (std::size_t i = 0; i < rows.size(); ++i)
    sequences += i == 0 || rows[i].sequence != rows[i - 1].sequence;
  if (works_together(sequences))
    compute_together(rows, consume);
  else
    compute_alone(rows, consume);
}

/// A model that fits the cache of a core is done before threads have met as often as a crew must.
bool cpu_backend::works_together(int sequences) const {
  if (workers_.size() == 1 || split_ == work_split::sequences) return false;
  if (split_ == work_split::outputs || sequences < workers_.size()) return true;
  constexpr std::int64_t large = 4 << 20; // weights of all layers
  return std::int64_t{config_.num_hidden_layers} * config_.hidden_size * config_.intermediate_size * 3 >
         large;
}

/// Shares the rows out by sequence: threads never wait for each other inside a step, and no sum crosses
/// sequences.
void cpu_backend::compute_alone(const std::vector<model_row>& rows, const consumer& consume) {
  const int total = static_cast<int>(rows.size());
  const int share = (total + workers_.size() - 1) / workers_.size();
  begins_.assign(1, 0);
  for (int i = 1; i < total; ++i) {
    const auto at = static_cast<std::size_t>(i);
    if (rows[at].sequence != rows[at - 1].sequence && i - begins_.back() >= share &&
        static_cast<int>(begins_.size()) < workers_.size())
      begins_.push_back(i);
  }
  const auto parts = static_cast<int>(begins_.size());
  begins_.push_back(total);
  workers_.run(parts, [&](int i) {
    const auto at = static_cast<std::size_t>(i);
    const int first = begins_[at];
    auto& space = spaces_[at];
    model_->forward(rows.data() + first, begins_[at + 1] - first, rope_, memory_, space, space,
                    [&consume, first, i](int row, float* logits) { consume(first + row, logits, i); });
  });
}

/// All threads compute all rows, each its share of every matrix's outputs.
void cpu_backend::compute_together(const std::vector<model_row>& rows, const consumer& consume) {
  workers_.run(workers_.size(), [&](int i) {
    model_->forward(rows.data(), static_cast<int>(rows.size()), rope_, memory_, spaces_.front(),
                    spaces_[static_cast<std::size_t>(i)],
                    [&consume, i](int row, float* logits) { consume(row, logits, i); },
                    {i, workers_.size(), &meeting_});
  });
}

} // namespace troupe
