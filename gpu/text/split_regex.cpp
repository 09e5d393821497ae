#include "gpu/text/split_regex.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// As many code points of `set` as there are, at most `max`; moves pos and returns how many.
std::uint32_t take(const code_set& set, std::string_view text, std::size_t& pos, std::uint32_t max) {
  std::uint32_t n = 0;
  while (n < max && pos < text.size()) {
    const auto byte = static_cast<unsigned char>(text[pos]);
    if (byte < 0x80) {
      if (!set.ascii(byte)) break;
      ++pos;
    } else {
      auto after = pos;
      if (!set.contains(next_code_point(text, after))) break;
      pos = after;
    }
    ++n;
  }
  return n;
}

void step_back(std::string_view text, std::size_t& pos) {
  do --pos;
  while ((static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
}

} // namespace

std::size_t split_regex::run(std::uint32_t at, std::string_view text, std::size_t pos,
                             std::size_t& steps) const {
  for (;;) {
    if (steps == 0) return none;
    --steps;
    const node& n = nodes_[at];
    switch (n.what) {
    case kind::accept: return pos;
    case kind::set: {
      const auto& set = sets_[n.set];
      if (n.how == greed::lazy) {
        if (take(set, text, pos, n.min) < n.min) return none;
        for (auto count = n.min;; ++count) {
          if (const auto end = run(n.next, text, pos, steps); end != none) return end;
          if (count == n.max || take(set, text, pos, 1) == 0) return none;
        }
      }
      auto count = take(set, text, pos, n.max);
      if (count < n.min) return none;
      if (count == n.min || n.how == greed::possessive || n.next == 0) break; // nothing to try twice
      for (;; --count) {
        if (const auto end = run(n.next, text, pos, steps); end != none) return end;
        if (count == n.min || steps == 0) return none;
        step_back(text, pos);
      }
    }
    case kind::alternatives: {
      if (n.optional && n.how == greed::lazy)
        if (const auto end = run(n.next, text, pos, steps); end != none) return end;
      for (auto inside : n.inside)
        if (const auto end = run(inside, text, pos, steps); end != none) return end;
      if (!n.optional || n.how == greed::lazy) return none;
      break;
    }
    case kind::look_ahead: {
      bool found = false;
      for (auto inside : n.inside) found = found || run(inside, text, pos, steps) != none;
      if (found == n.negative) return none;
      break;
    }
    case kind::look_behind: {
      bool found = false;
      if (pos > 0) {
        auto before = pos;
        step_back(text, before);
        found = sets_[n.set].contains(next_code_point(text, before));
      }
      if (found == n.negative) return none;
      break;
    }
    case kind::atomic: {
      auto end = none;
      for (std::size_t i = 0; i < n.inside.size() && end == none; ++i)
        end = run(n.inside[i], text, pos, steps);
      if (end == none && !n.optional) return none;
      if (end != none) pos = end;
      break;
    }
    case kind::begin:
      if (pos != 0) return none;
      break;
    case kind::line_begin:
      if (pos != 0 && (text[pos - 1] != '\n' || pos == text.size())) return none;
      break;
    case kind::line_end:
      if (pos != text.size() && text[pos] != '\n') return none;
      break;
    case kind::end:
      if (pos != text.size()) return none;
      break;
    }
    at = n.next;
  }
}

std::size_t split_regex::match(std::string_view text, std::size_t at, std::size_t& steps) const {
  const auto first = static_cast<unsigned char>(text[at]);
  for (auto alternative : by_first_[first < 0x80 ? first : 128])
    if (const auto end = run(alternative, text, at, steps); end != none) return end;
  return none;
}

/// What the match of a node can begin with: can[c] for ASCII, can[128] for all else; everything where it may be empty. A node is
/// walked through once.
void split_regex::first_characters(std::uint32_t at, std::vector<bool>& seen, bool (&can)[129]) const {
  if (seen[at]) return;
  seen[at] = true;
  const node& n = nodes_[at];
  switch (n.what) {
  case kind::set:
    for (unsigned char c = 0; c < 128; ++c) can[c] = can[c] || sets_[n.set].ascii(c);
    can[128] = can[128] || sets_[n.set].beyond_ascii();
    if (n.min == 0) first_characters(n.next, seen, can);
    break;
  case kind::alternatives:
    for (auto inside : n.inside) first_characters(inside, seen, can);
    if (n.optional) first_characters(n.next, seen, can);
    break;
  default: std::fill(std::begin(can), std::end(can), true);
  }
}

void split_regex::index_first() {
  for (auto alternative : top_) {
    std::vector<bool> seen(nodes_.size());
    bool can[129] = {};
    first_characters(alternative, seen, can);
    for (unsigned c = 0; c < 129; ++c)
      if (can[c]) by_first_[c].push_back(alternative);
  }
}

} // namespace troupe
