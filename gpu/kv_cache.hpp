#pragma once

#include "gpu/cpu_kernels.hpp"
#include "gpu/tokenizer.hpp"
#include <deque>
#include <vector>

namespace troupe {

/// Keys and values of 16 consecutive positions, all layers. Sequences with the same beginning share it.
struct kv_block {
  int number = 0; ///< 0 .. limit - 1; its memory knows where that is
  int owners = 0;
};

/// Where the blocks of one pool lie, on the host or on a device. It is called between forward passes.
class kv_memory {
public:
  virtual ~kv_memory() = default;
  /// A block gets an owner. What is in it from now on has no meaning.
  virtual void begin(int block) = 0;
  /// The first `positions` of one block, 1 to 16, into another; the rest of that has no meaning.
  virtual void copy(int from, int to, int positions) = 0;
};

/// Who owns which block. Low numbers come first, so that a memory may grow with use.
///   KV-1  At most `limit` blocks have owners.
///   KV-2  A block with more than one owner is never written.
class kv_pool {
public:
  kv_pool(kv_memory& memory, std::int64_t limit) : memory_(&memory), limit_(limit) {}

  kv_block* take(); ///< nullptr: all are owned
  static void share(kv_block* block) { ++block->owners; }
  void release(kv_block* block);

  kv_memory& memory() { return *memory_; }
  std::int64_t used() const { return used_; }
  std::int64_t limit() const { return limit_; }

private:
  kv_memory* memory_;
  std::int64_t limit_, used_ = 0;
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
  /// A forward pass has filled the next position.
  void append(token t) { tokens_.push_back(t); }

  /// The i-th holds positions 16 i to 16 i + 15; those that reserve() made writable included.
  const std::vector<kv_block*>& blocks() const { return blocks_; }

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
