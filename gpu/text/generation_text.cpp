#include "gpu/text/generation_text.hpp"

#include "gpu/text/unicode.hpp"
#include <algorithm>
#include <utility>

namespace troupe {

generation_text::generation_text(const tokenizer& words, text_limits limits)
    : words_(words), limits_(std::move(limits)) {}

std::string generation_text::push(token id) {
  if (stopped_by_) return {};
  const bool shown = std::find(limits_.shown.begin(), limits_.shown.end(), id) != limits_.shown.end();
  bytes_ += words_.decode({id}, limits_.skip_special && !shown);
  ++tokens_;
  const auto ready = bytes_.size() - unfinished_utf8(bytes_);
  auto text = with_replacements(std::string_view(bytes_).substr(0, ready));
  bytes_.erase(0, ready);
  return certain(std::move(text), false);
}

std::string generation_text::finish() {
  if (stopped_by_) return {};
  return certain(with_replacements(std::exchange(bytes_, {})), true);
}

std::string generation_text::certain(std::string more, bool last) {
  if (tokens_ <= limits_.min_tokens) return more; // nothing is held back then
  held_ += more;
  auto first = held_.npos, end = held_.npos; // the one that is complete first, whatever the tokens are
  for (const auto& stop : limits_.stop)
    if (const auto at = held_.find(stop);
        at != held_.npos && (at + stop.size() < end || (at + stop.size() == end && at < first)))
      first = at, end = at + stop.size(), stopped_by_ = stop;
  if (stopped_by_) {
    held_.resize(first + (limits_.include_stop ? stopped_by_->size() : 0));
    return std::exchange(held_, {});
  }
  if (last) return std::exchange(held_, {});
  std::size_t keep = 0; // the longest end that begins a stop string
  for (const auto& stop : limits_.stop)
    for (auto n = std::min(held_.size(), stop.size() - 1); n > keep; --n)
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
  auto out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

} // namespace troupe
