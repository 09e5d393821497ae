#include "gpu/kv_cache.hpp"

#include <algorithm>
#include <cassert>

namespace troupe {

kv_block* kv_pool::take() {
  if (used_ >= limit_) return nullptr;
  if (free_.empty()) {
    blocks_.push_back({.number = static_cast<int>(blocks_.size())});
    free_.push_back(&blocks_.back());
  }
  auto* block = free_.back();
  free_.pop_back();
  block->owners = 1;
  ++used_;
  memory_->begin(block->number);
  return block;
}

void kv_pool::release(kv_block* block) {
  assert(block->owners > 0);
  if (--block->owners > 0) return;
  free_.push_back(block);
  --used_;
}

int kv_sequence::common_prefix(const std::vector<token>& context) const {
  const auto n = std::min(tokens_.size(), context.size());
  const auto end =
      std::mismatch(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(n), context.begin());
  return static_cast<int>(end.first - tokens_.begin());
}

int kv_sequence::blocks_missing(int positions) const {
  const int whole = (positions + lanes - 1) / lanes - static_cast<int>(blocks_.size());
  const bool shared_end = size() % lanes != 0 && blocks_[size() / lanes]->owners > 1;
  return std::max(whole, 0) + (shared_end && positions > size() ? 1 : 0);
}

double kv_sequence::blocks_held() const {
  double out = 0;
  for (auto* block : blocks_) out += 1.0 / block->owners;
  return out;
}

void kv_sequence::truncate(int positions) {
  if (positions >= size() && positions > 0) return;
  const auto keep = static_cast<std::size_t>((positions + lanes - 1) / lanes);
  for (; blocks_.size() > keep; blocks_.pop_back()) pool_->release(blocks_.back());
  tokens_.resize(static_cast<std::size_t>(positions));
  stale_ = std::min(stale_, positions);
}

bool kv_sequence::adopt(const kv_sequence& from, int positions) {
  assert(positions <= from.size() && positions > size());
  const int whole = positions / lanes, rest = positions % lanes;
  kv_block* last = nullptr;
  if (rest > 0) {
    last = pool_->take();
    if (!last) return false;
    pool_->memory().copy(from.blocks_[static_cast<std::size_t>(whole)]->number, last->number, rest);
  }
  for (int i = 0; i < whole; ++i) kv_pool::share(from.blocks_[static_cast<std::size_t>(i)]);
  for (auto* block : blocks_) pool_->release(block);
  blocks_.assign(from.blocks_.begin(), from.blocks_.begin() + whole);
  if (last) blocks_.push_back(last);
  tokens_.assign(from.tokens_.begin(), from.tokens_.begin() + positions);
  stale_ = std::min(from.stale_, positions);
  return true;
}

bool kv_sequence::reserve(int positions) {
  if (positions > size() &&
      size() % lanes != 0) { // the block that holds the next position may be another's as well
    auto& last = blocks_[static_cast<std::size_t>(size() / lanes)];
    if (last->owners > 1) {
      auto* mine = pool_->take();
      if (!mine) return false;
      pool_->memory().copy(last->number, mine->number, size() % lanes);
      pool_->release(std::exchange(last, mine));
    }
  }
  while (static_cast<int>(blocks_.size()) * lanes < positions) {
    auto* block = pool_->take();
    if (!block) return false;
    blocks_.push_back(block);
  }
  return true;
}

} // namespace troupe
