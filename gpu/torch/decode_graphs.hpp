#pragma once

#include "gpu/torch/device_graph.hpp"
#include <map>

namespace troupe::torch_detail {

/// Decoding is many small launches, which take longer than what they launch. Passes of one shape are recorded once, on inputs and weights
/// that stay where they are, and repeated as one launch.
///   GRA-1  The first pass of a shape runs as it is, which is also what libraries need before a recording; the second is recorded; later
///          ones are replays. A shape whose recording fails, and shapes beyond `most`, run as they are for ever.
///   GRA-2  All shapes leave their logits in one place: they are valid until the next pass, and copies of them are launched on the same
///          stream before that.
class decode_graphs {
public:
  /// What a graph depends on beside what is in its inputs.
  struct shape {
    int weights = 0; ///< which of the two sets
    std::int64_t sequences = 0, width = 0;
    auto operator<=>(const shape&) const = default;
  };
  /// `logits`: float32 [rows, padded vocabulary] on the device, rows for the most sequences of a pass.
  decode_graphs(graph_recorder record, at::Tensor logits, std::size_t most = 128)
      : record_(std::move(record)), logits_(std::move(logits)), most_(most) {}

  /// `host`: the pass's inputs; `model` makes logits of them where they lie on the device, and depends on nothing else than the shape.
  /// Copies are launched, and not waited for.
  at::Tensor run(const shape& of, const at::Tensor& host,
                 const std::function<at::Tensor(const at::Tensor& inputs)>& model);

private:
  struct entry {
    at::Tensor inputs;
    std::unique_ptr<device_graph> graph;
    bool eager = false; ///< for ever
    int runs = 0;
  };
  graph_recorder record_;
  at::Tensor logits_;
  std::size_t most_;
  std::map<shape, entry> entries_;
};

} // namespace troupe::torch_detail
