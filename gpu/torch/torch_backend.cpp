#include "gpu/torch/torch_backend.hpp"

#include "gpu/torch/decode_graphs.hpp"
#include "gpu/torch/device_weights.hpp"
#include "gpu/torch/engine_forward.hpp"
#include "gpu/torch/engine_passes.hpp"
#include "gpu/torch/find_device.hpp"
#include "gpu/torch/lanes.hpp"
#include "gpu/worker_pool.hpp"
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <algorithm>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <stdexcept>

namespace troupe::torch_detail {

namespace {

at::ScalarType type_of(const engine_limits& limits) {
  return limits.mode == arithmetic::fast ? at::kBFloat16 : at::kFloat;
}

std::int64_t blocks_of(const engine_limits& limits) {
  return std::max<std::int64_t>(1, limits.max_kv_tokens / lanes);
}

/// Keeps temporary memory of a pass to a few hundred MiB, whatever the model.
pass_limits limits_of(const model_config& config, at::ScalarType type) {
  constexpr std::int64_t gathered = std::int64_t{512} << 20, logits = std::int64_t{256} << 20;
  const auto block = std::int64_t{2} * lanes * config.num_key_value_heads * config.head_dim *
                     static_cast<std::int64_t>(c10::elementSize(type));
  const auto row = static_cast<std::int64_t>(sizeof(float)) * padded(config.vocab_size);
  pass_limits out;
  out.most_blocks = std::max<std::int64_t>(1, gathered / block);
  out.most_wanted = static_cast<int>(std::clamp<std::int64_t>(logits / row, 1, out.most_rows));
  return out;
}

class torch_backend final : public model_backend {
public:
  torch_backend(const model_config& config, const engine_limits& limits, at::Device device,
                const torch_backend_options& options)
      : config_(config),
        layout_(make_layout(config)),
        device_(device),
        type_(type_of(limits)),
        stream_(own_stream(device)),
        limits_(options.passes.value_or(limits_of(config, type_))),
        cache_(config, blocks_of(limits), type_, device),
        graphs_(options.record ? options.record : graph_recorder_for(device), place_for_logits(limits)),
        uploads_(make_upload_buffers(device, type_)),
        inputs_{host_buffer(device, at::kLong), host_buffer(device, at::kLong)},
        outputs_{host_buffer(device, at::kFloat), host_buffer(device, at::kFloat)},
        workers_(limits.threads) {
    const auto tables = make_rope_tables(config);
    rope_ = {tables.cosines.to(device), tables.sines.to(device)};
    settle();
  }
  ~torch_backend() override {
    try {
      settle(); // nothing launched may outlive its memory
    } catch (const c10::Error&) {
    }
  }

  void begin(int block) override { cache_.begin(block); }
  void copy(int from, int to, int positions) override {
    const surroundings inside(*this);
    cache_.copy(from, to, positions);
  }

  /// Into the set that is not computed with: what fails half-way changes nothing.
  void set_weights(const weights_ptr& weights) override {
    const surroundings inside(*this);
    const std::size_t next = current_ == 0 ? 1 : 0;
    in_a_sentence([&] {
      if (!sets_[next]) sets_[next].emplace(config_, layout_, type_, device_);
      sets_[next]->fill(*weights, layout_, uploads_);
      for (auto& buffer : uploads_) buffer.wait();
    });
    current_ = next;
  }

  int workers() const override { return workers_.size(); }

  void forward(const std::vector<model_row>& rows, const consumer& consume) override {
    const surroundings inside(*this);
    in_a_sentence([&] { run(rows, consume); });
  }

private:
  /// Whoever reads a log gets what was wrong, not LibTorch's stack.
  static void in_a_sentence(const std::function<void()>& work) {
    try {
      work();
    } catch (const c10::Error& e) {
      throw std::runtime_error(std::string("LibTorch: ") + e.what_without_backtrace());
    }
  }

  void run(const std::vector<model_row>& rows, const consumer& consume) {
    cache_.clear_fresh();
    const auto passes = plan_passes(rows, limits_);
    for (std::size_t i = 0; i <= passes.size(); ++i) {
      if (i < passes.size()) launch(passes[i], rows, i % 2);
      if (i > 0) hand_on(passes[i - 1], (i - 1) % 2, consume);
    }
  }

  /// Around everything that launches: no autograd, the backend's own stream, LibTorch's CPU threads at rest.
  struct surroundings {
    explicit surroundings(const torch_backend& of) {
      if (of.stream_) stream.reset_stream(*of.stream_);
      stay_in_this_thread();
    }
    at::NoGradGuard no_graph;
    c10::OptionalStreamGuard stream;
  };

  static std::optional<c10::Stream> own_stream(at::Device device) {
    if (device.is_cpu()) return std::nullopt;
    return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  }
  void settle() const {
    if (!stream_) return;
    c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  }

  /// Of the largest pass that decodes.
  at::Tensor place_for_logits(const engine_limits& limits) const {
    const int rows = padded_batch(std::min(limits.max_sequences, limits_.most_wanted));
    return at::empty({rows, padded(config_.vocab_size)}, at::TensorOptions(at::kFloat).device(device_));
  }

  /// The pass's inputs in page-locked memory.
  at::Tensor write_inputs(const engine_pass& pass, const std::vector<model_row>& rows, host_buffer& buffer,
                          std::int64_t wanted) const {
    const auto room = buffer.room(pass_inputs::numbers(pass.sequences, pass.length, pass.width, wanted));
    const auto in = pass_inputs::view(room, pass.sequences, pass.length, pass.width, wanted);
    const auto numbers = [](const at::Tensor& t) { return t.data_ptr<std::int64_t>(); };
    auto *tokens = numbers(in.tokens), *previous = numbers(in.previous), *positions = numbers(in.positions),
         *blocks = numbers(in.blocks), *slots = numbers(in.slots), *table = numbers(in.table);
    std::fill_n(table, in.table.numel(), cache_.blank());
    for (std::size_t place = 0; place < pass.rows.size(); ++place) {
      if (pass.rows[place] < 0) {
        tokens[place] = 0, previous[place] = -1, positions[place] = 0;
        blocks[place] = cache_.spill(), slots[place] = 0;
        continue;
      }
      const auto& row = rows[static_cast<std::size_t>(pass.rows[place])];
      const auto& owned = row.sequence->blocks();
      tokens[place] = row.current, previous[place] = row.previous, positions[place] = row.position;
      blocks[place] = owned[static_cast<std::size_t>(row.position / lanes)]->number;
      slots[place] = row.position % lanes;
      const auto sequence = place / static_cast<std::size_t>(pass.length);
      if (place % static_cast<std::size_t>(pass.length) == 0) { // of a sequence, once
        const auto count = std::min(owned.size(), static_cast<std::size_t>(pass.width));
        for (std::size_t b = 0; b < count; ++b)
          table[sequence * static_cast<std::size_t>(pass.width) + b] = owned[b]->number;
      }
    }
    if (wanted > 0) std::copy(pass.wanted.begin(), pass.wanted.end(), numbers(in.wanted));
    return room;
  }

  void launch(const engine_pass& pass, const std::vector<model_row>& rows, std::size_t turn) {
    // A graph always has the logits of all its places: which are wanted is not part of its shape.
    const auto wanted = pass.decodes ? 0 : static_cast<std::int64_t>(pass.wanted.size());
    const auto host = write_inputs(pass, rows, inputs_[turn], wanted);
    const auto model = [this, set = current_, sequences = pass.sequences, length = pass.length,
                        width = pass.width, wanted](const at::Tensor& inputs) {
      return engine_logits(config_, sets_[set]->parameters(), rope_, cache_,
                           pass_inputs::view(inputs, sequences, length, width, wanted));
    };
    at::Tensor logits;
    if (pass.decodes)
      logits = graphs_.run({static_cast<int>(current_), pass.sequences, pass.width}, host, model);
    else
      logits = model(host.to(device_, at::kLong, true));
    inputs_[turn].mark();
    if (pass.wanted.empty()) return;
    read_[turn] = outputs_[turn].room(logits.numel()).view(logits.sizes());
    read_[turn].copy_(logits, true);
    outputs_[turn].mark();
  }

  /// Logits of a pass to whoever samples, shared out among the workers.
  void hand_on(const engine_pass& pass, std::size_t turn, const consumer& consume) {
    if (pass.wanted.empty()) return;
    outputs_[turn].wait();
    auto* logits = read_[turn].data_ptr<float>();
    const auto width = read_[turn].size(1);
    const auto count = static_cast<int>(pass.wanted.size());
    const int parts = std::min(workers_.size(), count);
    workers_.run(parts, [&](int worker) {
      for (int i = worker; i < count; i += parts) {
        const int place = pass.wanted[static_cast<std::size_t>(i)];
        consume(pass.rows[static_cast<std::size_t>(place)], logits + (pass.decodes ? place : i) * width,
                worker);
      }
    });
  }

  model_config config_;
  flat_layout layout_;
  at::Device device_;
  at::ScalarType type_;
  std::optional<c10::Stream> stream_;
  pass_limits limits_;
  paged_cache cache_;
  decode_graphs graphs_;
  upload_buffers uploads_;
  std::array<host_buffer, 2> inputs_, outputs_;
  std::array<at::Tensor, 2> read_; ///< logits in outputs_
  worker_pool workers_;
  rope_tables rope_;
  std::array<std::optional<device_weights>, 2> sets_;
  std::size_t current_ = 1; ///< the first weights go into set 0
};

} // namespace

expected<std::unique_ptr<model_backend>> make_torch_backend(const model_config& config,
                                                            const engine_limits& limits,
                                                            const torch_backend_options& options) {
  try {
    const auto found = find_device(options.device);
    if (!found) return fail(found.error());
    const auto need = paged_cache::bytes(config, blocks_of(limits), type_of(limits));
    const auto memory = memory_of(*found);
    if (need > memory.free)
      return fail(errc::exhausted, "engine: a KV cache of " + std::to_string(limits.max_kv_tokens) +
                                       " tokens takes " + std::to_string(need >> 20) + " MiB, " + memory.of +
                                       " has " + std::to_string(memory.free >> 20) + " MiB free of " +
                                       std::to_string(memory.total >> 20));
    return std::make_unique<torch_backend>(config, limits, *found, options);
  } catch (const c10::OutOfMemoryError& e) {
    return fail(errc::exhausted, std::string("engine: ") + e.what_without_backtrace());
  } catch (const c10::Error& e) {
    return fail(errc::internal, std::string("LibTorch: ") + e.what_without_backtrace());
  }
}

} // namespace troupe::torch_detail
