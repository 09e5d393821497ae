#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/model_config.hpp"
#include "gpu/tokenizer.hpp"
#include <deque>
#include <vector>

namespace troupe {

/// Where in a block of 16 positions each layer and head keeps its tiles (see attention_past).
struct kv_layout {
  int heads = 0, head_dim = 0, value_row = 0;
  std::ptrdiff_t block_floats = 0;

  explicit kv_layout(const model_config& config);
  std::ptrdiff_t key_tile(int layer, int head) const {
    return (std::ptrdiff_t{layer} * heads + head) * tile_floats_;
  }
  std::ptrdiff_t value_tile(int layer, int head) const { return key_tile(layer, head) + head_dim * lanes; }

private:
  std::ptrdiff_t tile_floats_ = 0;
};

/// Keys and values of 16 consecutive positions, all layers. Sequences with the same beginning share it.
struct kv_block {
  float* data = nullptr;
  int owners = 0;
};

/// The blocks of one engine. Memory is taken when first needed, in pieces that fit huge pages, and kept.
///   KV-1  At most `limit` blocks have owners.
///   KV-2  A block with more than one owner is never written.
class kv_pool {
public:
  kv_pool(const kv_layout& layout, std::int64_t limit) : layout_(layout), limit_(limit) {}

  kv_block* take(); ///< nullptr: all are owned
  static void share(kv_block* block) { ++block->owners; }
  void release(kv_block* block);

  const kv_layout& layout() const { return layout_; }
  std::int64_t used() const { return used_; }
  std::int64_t limit() const { return limit_; }

private:
  void grow();

  kv_layout layout_;
  std::int64_t limit_, used_ = 0;
  std::vector<aligned_floats> slabs_;
  std::deque<kv_block> blocks_; // stable addresses
  std::vector<kv_block*> free_;
};

/// What one sequence has in the cache: `tokens` are those whose keys and values are computed.
class kv_sequence {
public:
  explicit kv_sequence(kv_pool& pool) : pool_(&pool) {}
  ~kv_sequence() { truncate(0); }
  kv_sequence(const kv_sequence&) = delete;
  kv_sequence& operator=(const kv_sequence&) = delete;

  int size() const { return static_cast<int>(tokens_.size()); }
  const std::vector<token>& tokens() const { return tokens_; }
  /// How many of the first tokens of `context` are computed here.
  int common_prefix(const std::vector<token>& context) const;
  /// Blocks that `reserve(positions)` would have to take, shared last blocks included.
  int blocks_missing(int positions) const;

  /// Its blocks; of one that n sequences share, the nth part.
  double blocks_held() const;

  /// Drops everything from this position on.
  void truncate(int positions);
  /// Takes over the first positions of another sequence: whole blocks are shared, the rest is copied. Only
  /// onto a shorter prefix of the same tokens. False: the pool is out of blocks; nothing changed.
  bool adopt(const kv_sequence& from, int positions);
  /// Makes positions size() .. positions-1 writable. False: the pool is out of blocks; what it has stays.
  bool reserve(int positions);
  /// The kernels have filled the next positions.
  void append(token t) { tokens_.push_back(t); }

  float* block(int position) { return blocks_[position / lanes]->data; }
  void list_blocks(std::vector<const float*>& out) const;

  /// Tokens before this were computed with older weights (kv_policy::keep): such a sequence lends nothing.
  int stale() const { return stale_; }
  void mark_stale() { stale_ = size(); }

private:
  kv_pool* pool_;
  std::vector<token> tokens_;
  std::vector<kv_block*> blocks_;
  int stale_ = 0;
};

} // namespace troupe
