#include "gpu/kv_cache.hpp"

#include <algorithm>
#include <cassert>

namespace troupe {

kv_layout::kv_layout(const model_config& config)
    : heads(config.num_key_value_heads), head_dim(config.head_dim), value_row(padded(config.head_dim)) {
  tile_floats_ = static_cast<std::ptrdiff_t>(head_dim + value_row) * lanes;
  block_floats = tile_floats_ * heads * config.num_hidden_layers;
}

void kv_pool::grow() {
  const auto each = static_cast<std::size_t>(layout_.block_floats);
  const auto count = std::max<std::size_t>(1, aligned_floats::huge_page / sizeof(float) / each);
  slabs_.emplace_back(each * count);
  for (std::size_t i = 0; i < count; ++i) {
    blocks_.push_back({slabs_.back().data() + i * each, 0});
    free_.push_back(&blocks_.back());
  }
}

kv_block* kv_pool::take() {
  if (used_ >= limit_) return nullptr;
  if (free_.empty()) grow();
  auto* block = free_.back();
  free_.pop_back();
  block->owners = 1;
  ++used_;
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
    std::copy_n(from.blocks_[static_cast<std::size_t>(whole)]->data, pool_->layout().block_floats,
                last->data);
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
      std::copy_n(last->data, pool_->layout().block_floats, mine->data);
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

void kv_sequence::list_blocks(std::vector<const float*>& out) const {
  out.clear();
  for (auto* block : blocks_) out.push_back(block->data);
}

} // namespace troupe
