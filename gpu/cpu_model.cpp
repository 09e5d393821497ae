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
    if (const auto stored = weights.stored.find(name); stored != weights.stored.end()) {
      if (stored->second.shape != shape)
        throw std::invalid_argument("weights: " + name + " has shape " + shape_text(stored->second.shape) +
                                    ", expected " + shape_text(shape));
      continue;
    }
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

cpu_model::cpu_model(const model_weights& weights, const kernel_set& kernels)
    : config_(weights.config),
      set_(kernels),
      kernels_(kernels.floats),
      layout_(weights.config),
      hidden_(padded(config_.hidden_size)),
      query_(padded(config_.num_attention_heads * config_.head_dim)),
      key_value_(padded(config_.num_key_value_heads * config_.head_dim)),
      mlp_(padded(config_.intermediate_size)) {
  check_shapes(weights);
  const auto small = [&](const std::string& name) {
    const auto stored = weights.stored.find(name);
    auto out =
        padded_copy(stored == weights.stored.end() ? weights.tensors.at(name) : as_float32(stored->second));
    for (float x : out)
      if (!std::isfinite(x))
        throw std::invalid_argument("weights: " + name + " holds values that are no finite numbers");
    return out;
  };
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    const auto layer_name = "model.layers." + std::to_string(i) + ".";
    const auto matrix = [&](const std::vector<std::string>& parts) {
      std::vector<std::string> names;
      for (auto& part : parts) names.push_back(layer_name + part + ".weight");
      return weight_matrix(weights, names, set_.mode);
    };
    layers_.push_back({
        .attention_norm = small(layer_name + "input_layernorm.weight"),
        .mlp_norm = small(layer_name + "post_attention_layernorm.weight"),
        .qkv = matrix({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
        .out = matrix({"self_attn.o_proj"}),
        .gate_up = matrix({"mlp.gate_proj", "mlp.up_proj"}),
        .down = matrix({"mlp.down_proj"}),
    });
    auto& made = layers_.back();
    if (config_.qkv_bias)
      for (auto name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) {
        const auto one = small(layer_name + name + ".bias");
        made.qkv_bias.insert(made.qkv_bias.end(), one.begin(), one.end());
      }
    if (config_.output_bias) made.out_bias = small(layer_name + "self_attn.o_proj.bias");
    if (config_.qk_norm) {
      made.query_norm = small(layer_name + "self_attn.q_norm.weight");
      made.key_norm = small(layer_name + "self_attn.k_norm.weight");
    }
    if (i >= config_.first_window_layer) made.window = config_.sliding_window;
  }
  final_norm_ = small("model.norm.weight");
  const std::string embedding = "model.embed_tokens.weight";
  head_ = weight_matrix(weights, {config_.tie_word_embeddings ? embedding : "lm_head.weight"}, set_.mode);
  if (const auto stored = weights.stored.find(embedding); stored != weights.stored.end()) {
    stored_embedding_ = stored->second;
    embedding_row_ = stored_embedding_.data.size() / static_cast<std::size_t>(config_.vocab_size);
  } else {
    embedding_ = weights.tensors.at(embedding).data;
  }
  if (!config_.previous_token_map) return;
  const int d = config_.hidden_size, vocab = config_.vocab_size;
  if (embedding_.empty()) embedding_ = as_float32(stored_embedding_).data;
  const auto map = pack({weights.tensors.at("model.previous_token_map.weight").data.data()}, {d}, d);
  std::vector<float> mapped(static_cast<std::size_t>(vocab) * hidden_);
  kernels_->multiply(embedding_.data(), d, vocab, map, mapped.data(), hidden_, false);
  previous_.resize(embedding_.size());
  for (int t = 0; t < vocab; ++t)
    std::copy_n(mapped.data() + std::ptrdiff_t{t} * hidden_, d, previous_.data() + std::ptrdiff_t{t} * d);
}

cpu_model::workspace cpu_model::make_workspace() const {
  const auto rows = [](int width) { return aligned_floats(static_cast<std::size_t>(tile_rows) * width); };
  workspace out{.x = rows(hidden_),
                .qkv = rows(query_ + 2 * key_value_),
                .mixed = rows(query_),
                .gates = rows(2 * mlp_),
                .logits_out = rows(head_.out()),
                .normed = rows(hidden_),
                .logits_in = rows(hidden_),
                .scores = aligned_floats(static_cast<std::size_t>(padded(config_.max_position_embeddings))),
                .head = aligned_floats(static_cast<std::size_t>(layout_.value_row)),
                .scratch = aligned_floats(64 * static_cast<std::size_t>(std::max({hidden_, query_, mlp_}))),
                .inputs = {},
                .blocks = {}};
  for (int width : {hidden_, query_, mlp_}) out.inputs.resize(tile_rows, width);
  return out;
}

void cpu_model::forward(const model_row* rows, int count, const rope_table& rope, const cpu_kv_memory& memory,
                        workspace& shared, workspace& own, const consumer& consume,
                        const crew_member& me) const {
  for (int first = 0; first < count; first += tile_rows)
    forward_tile({rows + first, std::min(count - first, tile_rows), rope, memory, shared, own, me}, first,
                 consume);
}

matrix_input cpu_model::input(const float* x, std::ptrdiff_t stride, int width, int rows,
                              workspace& own) const {
  if (set_.mode == arithmetic::fast) {
    own.inputs.resize(rows, width);
    for (int r = 0; r < rows; ++r) set_.quantised->quantise(x + r * stride, width, own.inputs, r);
  }
  return {x, stride, &own.inputs};
}

matrix_input cpu_model::normed(const float* x, const std::vector<float>& weight, const pass& now) const {
  float* to = now.own.normed.data();
  for (int r = 0; r < now.count; ++r)
    kernels_->rms_norm(x + std::ptrdiff_t{r} * hidden_, weight.data(), to + std::ptrdiff_t{r} * hidden_,
                       config_.hidden_size, static_cast<float>(config_.rms_norm_eps));
  return input(to, hidden_, hidden_, now.count, now.own);
}

void cpu_model::embed(const model_row& row, float* x) const {
  const int d = config_.hidden_size;
  if (embedding_.empty())
    dequantise(stored_embedding_.type,
               stored_embedding_.data.data() + static_cast<std::size_t>(row.current) * embedding_row_,
               static_cast<std::size_t>(d), x);
  else
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

/// Turns queries and keys by their positions and puts keys and values into the cache.
void cpu_model::write_keys_and_values(const layer& at, int index, const pass& now) const {
  const int width = query_ + 2 * key_value_, head_dim = config_.head_dim;
  for (int r = 0; r < now.count; ++r) {
    if (!now.me.has(r)) continue;
    const auto& row = now.rows[r];
    float* q = now.shared.qkv.data() + std::ptrdiff_t{r} * width;
    float* k = q + query_;
    const float* v = k + key_value_;
    const float *cosine = now.rope.cosine(row.position), *sine = now.rope.sine(row.position);
    for (std::size_t i = 0; i < at.qkv_bias.size(); ++i) q[i] += at.qkv_bias[i];
    for (int h = 0; h < config_.num_attention_heads; ++h) {
      if (!at.query_norm.empty()) norm_head(q + h * head_dim, at.query_norm, now.own);
      kernels_->rotate(q + h * head_dim, cosine, sine, head_dim / 2);
    }
    const auto* place = row.sequence->blocks()[static_cast<std::size_t>(row.position / lanes)];
    float* block = now.memory.block(place->number);
    const int slot = row.position % lanes;
    for (int h = 0; h < layout_.heads; ++h) {
      if (!at.key_norm.empty()) norm_head(k + h * head_dim, at.key_norm, now.own);
      kernels_->rotate(k + h * head_dim, cosine, sine, head_dim / 2);
      float* keys = block + layout_.key_tile(index, h) + slot;
      for (int i = 0; i < head_dim; ++i) keys[i * lanes] = k[h * head_dim + i];
      std::memcpy(block + layout_.value_tile(index, h) + std::ptrdiff_t{slot} * layout_.value_row,
                  v + h * head_dim, sizeof(float) * static_cast<std::size_t>(head_dim));
    }
  }
}

void cpu_model::attend(const layer& at, int index, const pass& now) const {
  const int width = query_ + 2 * key_value_, head_dim = config_.head_dim,
            group = config_.num_attention_heads / layout_.heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  auto& own = now.own;
  const kv_sequence* listed = nullptr;
  for (int r = 0; r < now.count; ++r) {
    const auto& row = now.rows[r];
    if (row.sequence != listed) {
      listed = row.sequence;
      own.blocks.clear();
      for (const auto* block : listed->blocks()) own.blocks.push_back(now.memory.block(block->number));
    }
    const int unseen = at.window > 0 ? std::max(0, row.position + 1 - at.window) : 0,
              skipped = unseen / lanes * lanes;
    for (int h = 0; h < config_.num_attention_heads; ++h) {
      if (!now.me.has(r + h)) continue;
      const int head = h / group;
      const attention_past past{own.blocks.data() + skipped / lanes, layout_.key_tile(index, head),
                                layout_.value_tile(index, head), row.position + 1 - skipped,
                                unseen - skipped};
      kernels_->attend(now.shared.qkv.data() + std::ptrdiff_t{r} * width + h * head_dim, past, head_dim,
                       scale, own.scores.data(), own.head.data());
      std::memcpy(now.shared.mixed.data() + std::ptrdiff_t{r} * query_ + h * head_dim, own.head.data(),
                  sizeof(float) * static_cast<std::size_t>(head_dim));
    }
  }
}

/// Each member of a crew has gates and the ups that belong to them, so that it needs no other's.
void cpu_model::feed_forward(const layer& at, const pass& now) const {
  float *x = now.shared.x.data(), *gates = now.shared.gates.data();
  const auto [begin, end] = now.me.share(mlp_ / lanes);
  const auto in = normed(x, at.mlp_norm, now);
  for (int offset : {0, mlp_ / lanes})
    at.gate_up.multiply(in, now.count, offset + begin, offset + end, gates, 2 * mlp_, false, set_,
                        now.own.scratch.data());
  if (begin < end)
    for (int r = 0; r < now.count; ++r) {
      float* gate = gates + std::ptrdiff_t{r} * 2 * mlp_ + begin * lanes;
      kernels_->swiglu(gate, gate + mlp_, gate, (end - begin) * lanes);
    }
  now.me.meet();
  const auto [from, to] = now.me.share(at.down.panels());
  at.down.multiply(input(gates, 2 * mlp_, mlp_, now.count, now.own), now.count, from, to, x, hidden_, true,
                   set_, now.own.scratch.data());
  now.me.meet();
}

void cpu_model::forward_tile(const pass& now, int first, const consumer& consume) const {
  float* x = now.shared.x.data();
  const auto& me = now.me;
  for (int r = 0; r < now.count; ++r)
    if (me.has(r)) embed(now.rows[r], x + std::ptrdiff_t{r} * hidden_);
  me.meet();
  for (int i = 0; i < config_.num_hidden_layers; ++i) {
    const auto& at = layers_[static_cast<std::size_t>(i)];
    const auto product = [&](const weight_matrix& w, const matrix_input& in, float* y, int stride, bool add) {
      const auto [begin, end] = me.share(w.panels());
      w.multiply(in, now.count, begin, end, y, stride, add, set_, now.own.scratch.data());
      me.meet();
    };
    product(at.qkv, normed(x, at.attention_norm, now), now.shared.qkv.data(), query_ + 2 * key_value_, false);
    write_keys_and_values(at, i, now);
    me.meet();
    attend(at, i, now);
    me.meet();
    const float* mixed = now.shared.mixed.data();
    product(at.out, input(mixed, query_, query_, now.count, now.own), x, hidden_, true);
    if (!at.out_bias.empty()) {
      for (int r = 0; r < now.count; ++r)
        if (me.has(r))
          for (int j = 0; j < config_.hidden_size; ++j)
            x[std::ptrdiff_t{r} * hidden_ + j] += at.out_bias[static_cast<std::size_t>(j)];
      me.meet();
    }
    feed_forward(at, now);
  }
  int wanted = 0;
  float* in = now.own.logits_in.data();
  for (int r = 0; r < now.count; ++r)
    if (now.rows[r].wants_logits)
      kernels_->rms_norm(x + std::ptrdiff_t{r} * hidden_, final_norm_.data(),
                         in + std::ptrdiff_t{wanted++} * hidden_, config_.hidden_size,
                         static_cast<float>(config_.rms_norm_eps));
  if (wanted > 0) {
    const auto [begin, end] = me.share(head_.panels());
    head_.multiply(input(in, hidden_, hidden_, wanted, now.own), wanted, begin, end,
                   now.shared.logits_out.data(), head_.out(), false, set_, now.own.scratch.data());
  }
  me.meet();
  wanted = 0;
  for (int r = 0; r < now.count; ++r) {
    if (!now.rows[r].wants_logits) continue;
    const int place = wanted++;
    if (!me.has(place)) continue;
    float* logits = now.shared.logits_out.data() + std::ptrdiff_t{place} * head_.out();
    std::fill(logits + config_.vocab_size, logits + head_.out(), -std::numeric_limits<float>::infinity());
    consume(first + r, logits);
  }
  me.meet(); // before the next rows overwrite what is shared
}

} // namespace troupe
