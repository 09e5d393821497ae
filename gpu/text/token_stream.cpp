#include "gpu/text/token_stream.hpp"

#include "gpu/text/unicode.hpp"
#include <utility>

namespace troupe {

std::string token_stream::push(token id) {
  waiting_ += words_.decode({id}, skip_special_);
  const auto rest = unfinished_utf8(waiting_);
  const auto ready = waiting_.size() - rest;
  auto out = with_replacements(std::string_view(waiting_).substr(0, ready));
  waiting_.erase(0, ready);
  return out;
}

std::string token_stream::finish() { return with_replacements(std::exchange(waiting_, {})); }

} // namespace troupe
