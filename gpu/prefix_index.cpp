#include "gpu/prefix_index.hpp"

#include "runtime/base/random.hpp"

namespace troupe {

void prefix_chain::follow(const std::vector<token>& tokens, std::size_t count) {
  const auto whole = count / lanes;
  cut(whole);
  while (links_.size() < whole) {
    std::uint64_t hash = links_.empty() ? salt_ : links_.back();
    for (std::size_t i = 0; i < lanes; ++i)
      hash = derive_seed(hash, static_cast<std::uint64_t>(tokens[links_.size() * lanes + i]));
    links_.push_back(hash);
  }
}

} // namespace troupe
