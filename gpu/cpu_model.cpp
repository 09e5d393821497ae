#include "gpu/cpu_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace troupe {

namespace {

constexpr int tile_rows =
    72; // rows that go through all layers together: their activations stay in the L2 cache

std::vector<float> padded_copy(const host_tensor& t) {
  auto out = t.data;
  out.resize(static_cast<std::size_t>(padded(static_cast<int>(out.size()))));
  return out;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string out = "[";
  for (auto n : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(n);
  return out + "]";
}

void check_shapes(const model_weights& weights) {
  for (auto& [name, shape] : expected_shapes(weights.config)) {
    const auto found = weights.tensors.find(name);
    if (found == weights.tensors.end()) throw std::invalid_argument("weights lack " + name);
    std::int64_t count = 1;
    for (auto n : shape) count *= n;
    if (found->second.shape != shape || static_cast<std::int64_t>(found->second.data.size()) != count)
      throw std::invalid_argument("weights: " + name + " has shape " + shape_text(found->second.shape) +
                                  ", expected " + shape_text(shape));
  }
}

} // namespace

rope_table::rope_table(const model_config& config) : half_(config.head_dim / 2) {
  const auto count = static_cast<std::size_t>(config.max_position_embeddings) * half_;
  cosines_.resize(count);
  sines_.resize(count);
  const auto frequencies = rope_frequencies_of(config);
  for (int i = 0; i < half_; ++i) {
    const double frequency = frequencies.per_pair[static_cast<std::size_t>(i)];
    for (int position = 0; position < config.max_position_embeddings; ++position) {
      const auto at = static_cast<std::size_t>(position) * half_ + i;
      cosines_[at] = static_cast<float>(frequencies.scale * std::cos(position * frequency));
      sines_[at] = static_cast<float>(frequencies.scale * std::sin(position * frequency));
    }
  }
}

cpu_model::cpu_model(const model_weights& weights, const cpu_kernels& kernels)
    : config_(weights.config),
      kernels_(&kernels),
      layout_(weights.config),
      hidden_(padded(config_.hidden_size)),
      query_(padded(config_.num_attention_heads * config_.head_dim)),
      key_value_(padded(config_.num_key_value_heads * config_.head_dim)),
      mlp_(padded(config_.intermediate_size)) {
  check_shapes(weights);
  const auto tensor = [&](const std::string& name) -> const host_tensor& { return weights.tensors.at(name); };
  const int d = config_.hidden_size, vocab = config_.vocab_size;
  const int q = config_.num_attention_heads * config_.head_dim,
            kv = config_.num_key_value_heads * config_.head_dim;
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    const auto layer_name = "model.layers." + std::to_string(i) + ".";
    const auto part = [&](const char* name) -> const host_tensor& {
      return tensor(layer_name + name + ".weight");
    };
    const auto data = [&](const char* name) { return part(name).data.data(); };
    const int f = config_.intermediate_size;
    layers_.push_back({
        .attention_norm = padded_copy(part("input_layernorm")),
        .mlp_norm = padded_copy(part("post_attention_layernorm")),
        .qkv = pack({data("self_attn.q_proj"), data("self_attn.k_proj"), data("self_attn.v_proj")},
                    {q, kv, kv}, d),
        .out = pack({data("self_attn.o_proj")}, {d}, q),
        .gate_up = pack({data("mlp.gate_proj"), data("mlp.up_proj")}, {f, f}, d),
        .down = pack({data("mlp.down_proj")}, {d}, f),
    });
    auto& made = layers_.back();
    const auto bias = [&](const char* name) { return padded_copy(tensor(layer_name + name + ".bias")); };
    if (config_.qkv_bias)
      for (auto name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) {
        const auto one = bias(name);
        made.qkv_bias.insert(made.qkv_bias.end(), one.begin(), one.end());
      }
    if (config_.output_bias) made.out_bias = bias("self_attn.o_proj");
    if (config_.qk_norm) {
      made.query_norm = padded_copy(part("self_attn.q_norm"));
      made.key_norm = padded_copy(part("self_attn.k_norm"));
    }
    if (i >= config_.first_window_layer) made.window = config_.sliding_window;
  }
  final_norm_ = padded_copy(tensor("model.norm.weight"));
  const auto& embedding = tensor("model.embed_tokens.weight");
  embedding_ = embedding.data;
  const auto& head = config_.tie_word_embeddings ? embedding : tensor("lm_head.weight");
  head_ = pack({head.data.data()}, {vocab}, d);
  if (!config_.previous_token_map) return;
  const auto map = pack({tensor("model.previous_token_map.weight").data.data()}, {d}, d);
  std::vector<float> mapped(static_cast<std::size_t>(vocab) * hidden_);
  kernels_->multiply(embedding_.data(), d, vocab, map, mapped.data(), hidden_, false);
  previous_.resize(embedding_.size());
  for (int t = 0; t < vocab; ++t)
    std::copy_n(mapped.data() + std::ptrdiff_t{t} * hidden_, d, previous_.data() + std::ptrdiff_t{t} * d);
}

cpu_model::workspace cpu_model::make_workspace() const {
  const auto rows = [](int width) { return aligned_floats(static_cast<std::size_t>(tile_rows) * width); };
  return {.x = rows(hidden_),
          .normed = rows(hidden_),
          .qkv = rows(query_ + 2 * key_value_),
          .mixed = rows(query_),
          .gates = rows(2 * mlp_),
          .logits_in = rows(hidden_),
          .logits_out = rows(head_.out),
          .scores = aligned_floats(static_cast<std::size_t>(padded(config_.max_position_embeddings))),
          .head = aligned_floats(static_cast<std::size_t>(layout_.value_row)),
          .blocks = {}};
}

void cpu_model::forward(const model_row* rows, int count, const rope_table& rope, workspace& space,
                        const consumer& consume) const {
  for (int first = 0; first < count; first += tile_rows)
    forward_tile(rows + first, first, std::min(count - first, tile_rows), rope, space, consume);
}

void cpu_model::embed(const model_row& row, float* x) const {
  const int d = config_.hidden_size;
  std::memcpy(x, embedding_.data() + std::ptrdiff_t{row.current} * d,
              sizeof(float) * static_cast<std::size_t>(d));
  if (previous_.empty()) return;
  if (row.position > 0) {
    const float* before = previous_.data() + std::ptrdiff_t{row.previous} * d;
    for (int i = 0; i < d; ++i) x[i] += before[i];
  }
  const float scale = std::sqrt(static_cast<float>(d));
  for (int i = 0; i < d; ++i) x[i] *= scale;
}

/// A head's width need not be a multiple of 16 and its neighbours touch it: the kernel works on a padded copy.
void cpu_model::norm_head(float* head, const std::vector<float>& weight, workspace& space) const {
  const auto count = static_cast<std::size_t>(config_.head_dim);
  std::fill(std::copy_n(head, count, space.head.data()), space.head.data() + layout_.value_row, 0.0f);
  kernels_->rms_norm(space.head.data(), weight.data(), space.head.data(), config_.head_dim,
                     static_cast<float>(config_.rms_norm_eps));
  std::copy_n(space.head.data(), count, head);
}

void cpu_model::attention(const layer& at, int index, const model_row* rows, int count,
                          const rope_table& rope, workspace& space) const {
  const int width = query_ + 2 * key_value_, head_dim = config_.head_dim,
            group = config_.num_attention_heads / layout_.heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  kernels_->multiply(space.normed.data(), hidden_, count, at.qkv, space.qkv.data(), width, false);
  const kv_sequence* listed = nullptr;
  for (int r = 0; r < count; ++r) {
    const auto& row = rows[r];
    float* q = space.qkv.data() + std::ptrdiff_t{r} * width;
    float* k = q + query_;
    const float* v = k + key_value_;
    const float *cosine = rope.cosine(row.position), *sine = rope.sine(row.position);
    for (std::size_t i = 0; i < at.qkv_bias.size(); ++i) q[i] += at.qkv_bias[i];
    for (int h = 0; h < config_.num_attention_heads; ++h) {
      if (!at.query_norm.empty()) norm_head(q + h * head_dim, at.query_norm, space);
      kernels_->rotate(q + h * head_dim, cosine, sine, head_dim / 2);
    }
    float* block = row.sequence->block(row.position);
    const int slot = row.position % lanes;
    for (int h = 0; h < layout_.heads; ++h) {
      if (!at.key_norm.empty()) norm_head(k + h * head_dim, at.key_norm, space);
      kernels_->rotate(k + h * head_dim, cosine, sine, head_dim / 2);
      float* keys = block + layout_.key_tile(index, h) + slot;
      for (int i = 0; i < head_dim; ++i) keys[i * lanes] = k[h * head_dim + i];
      std::memcpy(block + layout_.value_tile(index, h) + std::ptrdiff_t{slot} * layout_.value_row,
                  v + h * head_dim, sizeof(float) * static_cast<std::size_t>(head_dim));
    }
    if (row.sequence != listed) (listed = row.sequence)->list_blocks(space.blocks);
    const int unseen = at.window > 0 ? std::max(0, row.position + 1 - at.window) : 0,
              skipped = unseen / lanes * lanes;
    for (int h = 0; h < config_.num_attention_heads; ++h) {
      const int head = h / group;
      const attention_past past{space.blocks.data() + skipped / lanes, layout_.key_tile(index, head),
                                layout_.value_tile(index, head), row.position + 1 - skipped,
                                unseen - skipped};
      kernels_->attend(q + h * head_dim, past, head_dim, scale, space.scores.data(), space.head.data());
      std::memcpy(space.mixed.data() + std::ptrdiff_t{r} * query_ + h * head_dim, space.head.data(),
                  sizeof(float) * static_cast<std::size_t>(head_dim));
    }
  }
  kernels_->multiply(space.mixed.data(), query_, count, at.out, space.x.data(), hidden_, true);
  if (at.out_bias.empty()) return;
  for (int r = 0; r < count; ++r)
    for (int i = 0; i < config_.hidden_size; ++i)
      space.x.data()[std::ptrdiff_t{r} * hidden_ + i] += at.out_bias[static_cast<std::size_t>(i)];
}

void cpu_model::forward_tile(const model_row* rows, int first, int count, const rope_table& rope,
                             workspace& space, const consumer& consume) const {
  const auto eps = static_cast<float>(config_.rms_norm_eps);
  const auto norm = [&](const std::vector<float>& weight) {
    for (int r = 0; r < count; ++r)
      kernels_->rms_norm(space.x.data() + std::ptrdiff_t{r} * hidden_, weight.data(),
                         space.normed.data() + std::ptrdiff_t{r} * hidden_, config_.hidden_size, eps);
  };
  for (int r = 0; r < count; ++r) embed(rows[r], space.x.data() + std::ptrdiff_t{r} * hidden_);
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    const auto& at = layers_[static_cast<std::size_t>(i)];
    norm(at.attention_norm);
    attention(at, i, rows, count, rope, space);
    norm(at.mlp_norm);
    kernels_->multiply(space.normed.data(), hidden_, count, at.gate_up, space.gates.data(), 2 * mlp_, false);
    for (int r = 0; r < count; ++r) {
      float* gate = space.gates.data() + std::ptrdiff_t{r} * 2 * mlp_;
      kernels_->swiglu(gate, gate + mlp_, gate, mlp_);
    }
    kernels_->multiply(space.gates.data(), 2 * mlp_, count, at.down, space.x.data(), hidden_, true);
  }
  int wanted = 0;
  for (int r = 0; r < count; ++r)
    if (rows[r].wants_logits)
      kernels_->rms_norm(space.x.data() + std::ptrdiff_t{r} * hidden_, final_norm_.data(),
                         space.logits_in.data() + std::ptrdiff_t{wanted++} * hidden_, config_.hidden_size,
                         eps);
  kernels_->multiply(space.logits_in.data(), hidden_, wanted, head_, space.logits_out.data(), head_.out,
                     false);
  wanted = 0;
  for (int r = 0; r < count; ++r) {
    if (!rows[r].wants_logits) continue;
    float* logits = space.logits_out.data() + std::ptrdiff_t{wanted++} * head_.out;
    std::fill(logits + config_.vocab_size, logits + head_.out, -std::numeric_limits<float>::infinity());
    consume(first + r, logits);
  }
}

} // namespace troupe
