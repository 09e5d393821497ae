#include "gpu/text/added_tokens.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// \s and \w as Rust's regex crate has them: the latter with letters in circles and the joiners.
const code_set& spaces() {
  static const code_set set(white_space());
  return set;
}

const code_set& word_characters() {
  static const code_set set = [] {
    auto out = unicode_properties({"L", "M", "Nd", "Nl", "Pc"});
    for (code_range r : {code_range{0x200C, 0x200D},
                         {0x24B6, 0x24E9},
                         {0x1F130, 0x1F149},
                         {0x1F150, 0x1F169},
                         {0x1F170, 0x1F189}})
      out.push_back(r);
    return code_set(merged(std::move(out)));
  }();
  return set;
}

/// Whether the character before `at`, or at it, is in the set; what is not UTF-8 never is.
bool before(std::string_view in, std::size_t at, const code_set& set, std::size_t* begin = nullptr) {
  for (std::size_t n = 1; n <= 4 && n <= at; ++n) {
    auto from = at - n;
    if (utf8_length(in, from) != n) continue;
    if (begin) *begin = from;
    return set.contains(next_code_point(in, from));
  }
  return false;
}

bool here(std::string_view in, std::size_t at, const code_set& set, std::size_t* end = nullptr) {
  if (at >= in.size() || utf8_length(in, at) == 0) return false;
  const bool out = set.contains(next_code_point(in, at));
  if (end) *end = at;
  return out;
}

} // namespace

void added_token_finder::add(std::string_view name, const added_token& token) {
  if (name.empty()) return;
  std::uint32_t at = 0;
  for (char c : name) {
    auto& children = trie_[at].children;
    const auto found =
        std::find_if(children.begin(), children.end(), [&](auto& child) { return child.first == c; });
    if (found != children.end()) {
      at = found->second;
      continue;
    }
    const auto fresh = static_cast<std::uint32_t>(trie_.size());
    children.emplace_back(c, fresh);
    trie_.emplace_back();
    at = fresh;
  }
  if (trie_[at].token >= 0) return;
  trie_[at].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
  first_[static_cast<unsigned char>(name[0])] = true;
}

std::pair<std::int32_t, std::size_t> added_token_finder::longest(std::string_view in, std::size_t at) const {
  std::pair<std::int32_t, std::size_t> out{-1, 0};
  std::uint32_t node_at = 0;
  for (auto i = at; i < in.size(); ++i) {
    const auto& children = trie_[node_at].children;
    const auto found =
        std::find_if(children.begin(), children.end(), [&](auto& child) { return child.first == in[i]; });
    if (found == children.end()) break;
    node_at = found->second;
    if (trie_[node_at].token >= 0) out = {trie_[node_at].token, i + 1 - at};
  }
  return out;
}

void added_token_finder::find(std::string_view in, const std::function<void(std::string_view)>& text,
                              const std::function<void(std::int32_t)>& token) const {
  std::size_t done = 0;
  for (std::size_t at = 0; at < in.size();) {
    if (!first_[static_cast<unsigned char>(in[at])]) {
      ++at;
      continue;
    }
    const auto [index, length] = longest(in, at);
    if (index < 0) {
      ++at;
      continue;
    }
    const auto& found = tokens_[static_cast<std::size_t>(index)];
    auto begin = at, end = at + length;
    at = end; // whatever becomes of it, its text is not looked at again
    if (found.single_word && (before(in, begin, word_characters()) || here(in, end, word_characters())))
      continue;
    if (found.lstrip)
      for (auto from = begin; from > done && before(in, begin, spaces(), &from);) begin = from;
    if (found.rstrip)
      for (auto to = end; here(in, end, spaces(), &to);) end = to;
    begin = std::max(begin, done);
    if (begin > done) text(in.substr(done, begin - done));
    token(found.id);
    done = std::max(done, end);
  }
  if (done < in.size()) text(in.substr(done));
}

} // namespace troupe
