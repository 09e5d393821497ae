#include "tools/html_text.hpp"

#include <algorithm>
#include <array>
#include <gumbo.h>
#include <memory>
#include <vector>

namespace troupe {

namespace {

constexpr int max_open_tags =
    4'000; ///< gumbo takes quadratic time and recursion for depth; browsers stop at 512

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Tags that hold nothing or that the next of their kind closes: they never make a tree deep.
bool stays_flat(std::string_view name) {
  constexpr std::array<std::string_view, 24> flat = {
      "area", "base",   "br", "col",   "dd",     "dt",    "embed", "hr", "img",   "input", "li",    "link",
      "meta", "option", "p",  "param", "source", "tbody", "td",    "th", "thead", "tr",    "track", "wbr"};
  return std::find(flat.begin(), flat.end(), name) != flat.end();
}

/// An upper bound of the depth of the tree: start tags minus end tags, as they stand in the text.
int deepest_nesting(std::string_view html) {
  int open = 0, deepest = 0;
  for (std::size_t i = 0; i + 1 < html.size(); ++i) {
    if (html[i] != '<') continue;
    const bool closes = html[i + 1] == '/';
    std::string name;
    for (std::size_t at = i + 1 + closes; at < html.size() && is_letter(html[at]) && name.size() < 8; ++at)
      name += static_cast<char>(html[at] | 0x20);
    if (name.empty() || stays_flat(name)) continue;
    if (closes)
      open = std::max(0, open - 1);
    else
      deepest = std::max(deepest, ++open);
  }
  return deepest;
}

bool unread(GumboTag tag) {
  switch (tag) {
  case GUMBO_TAG_SCRIPT:
  case GUMBO_TAG_STYLE:
  case GUMBO_TAG_TEMPLATE:
  case GUMBO_TAG_NOSCRIPT:
  case GUMBO_TAG_HEAD:
  case GUMBO_TAG_TITLE:
  case GUMBO_TAG_IFRAME:
  case GUMBO_TAG_OBJECT:
  case GUMBO_TAG_SVG: return true;
  default: return false;
  }
}

bool is_block(GumboTag tag) {
  switch (tag) {
  case GUMBO_TAG_ADDRESS:
  case GUMBO_TAG_ARTICLE:
  case GUMBO_TAG_ASIDE:
  case GUMBO_TAG_BLOCKQUOTE:
  case GUMBO_TAG_BR:
  case GUMBO_TAG_CAPTION:
  case GUMBO_TAG_DD:
  case GUMBO_TAG_DIV:
  case GUMBO_TAG_DL:
  case GUMBO_TAG_DT:
  case GUMBO_TAG_FIGCAPTION:
  case GUMBO_TAG_FIGURE:
  case GUMBO_TAG_FOOTER:
  case GUMBO_TAG_FORM:
  case GUMBO_TAG_H1:
  case GUMBO_TAG_H2:
  case GUMBO_TAG_H3:
  case GUMBO_TAG_H4:
  case GUMBO_TAG_H5:
  case GUMBO_TAG_H6:
  case GUMBO_TAG_HEADER:
  case GUMBO_TAG_HR:
  case GUMBO_TAG_LI:
  case GUMBO_TAG_MAIN:
  case GUMBO_TAG_NAV:
  case GUMBO_TAG_OL:
  case GUMBO_TAG_P:
  case GUMBO_TAG_PRE:
  case GUMBO_TAG_SECTION:
  case GUMBO_TAG_TABLE:
  case GUMBO_TAG_TR:
  case GUMBO_TAG_UL: return true;
  default: return false;
  }
}

/// Text with single spaces inside of lines and no empty lines.
class flow {
public:
  void add(std::string_view text) {
    for (const char c : text) {
      if (is_space(c)) {
        space();
      } else {
        if (pending_ != 0 && !out_.empty()) out_ += pending_;
        pending_ = 0;
        out_ += c;
      }
    }
  }
  void space() {
    if (pending_ == 0) pending_ = ' ';
  }
  void line() { pending_ = '\n'; }
  std::string take() { return std::move(out_); }

private:
  std::string out_;
  char pending_ = 0; ///< a break that is written only if more text comes
};

/// Every node below `root` once, without recursion: `enter` may refuse its children, `leave` follows them.
template <class Enter, class Leave>
void walk(const GumboNode* root, Enter enter, Leave leave) {
  struct step {
    const GumboNode* node;
    bool leaving;
  };
  std::vector<step> left{{root, false}};
  while (!left.empty()) {
    const auto [node, leaving] = left.back();
    left.pop_back();
    if (leaving) {
      leave(node);
      continue;
    }
    if (!enter(node)) continue;
    if (node->type != GUMBO_NODE_ELEMENT && node->type != GUMBO_NODE_DOCUMENT) continue;
    left.push_back({node, true});
    const auto& children =
        node->type == GUMBO_NODE_DOCUMENT ? node->v.document.children : node->v.element.children;
    for (unsigned int i = children.length; i > 0; --i)
      left.push_back({static_cast<const GumboNode*>(children.data[i - 1]), false});
  }
}

bool is_text(const GumboNode* node) {
  return node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
         node->type == GUMBO_NODE_CDATA;
}

std::string body_text(const GumboNode* root) {
  flow out;
  walk(
      root,
      [&](const GumboNode* node) {
        if (is_text(node)) {
          out.add(node->v.text.text);
          return false;
        }
        if (node->type == GUMBO_NODE_COMMENT || node->type == GUMBO_NODE_TEMPLATE) return false;
        if (node->type != GUMBO_NODE_ELEMENT) return true;
        const GumboTag tag = node->v.element.tag;
        if (unread(tag) || gumbo_get_attribute(&node->v.element.attributes, "hidden")) return false;
        if (is_block(tag)) out.line();
        if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) out.space();
        if (tag == GUMBO_TAG_IMG)
          if (const auto* alt = gumbo_get_attribute(&node->v.element.attributes, "alt")) {
            out.space();
            out.add(alt->value);
            out.space();
          }
        return true;
      },
      [&](const GumboNode* node) {
        if (node->type == GUMBO_NODE_ELEMENT && is_block(node->v.element.tag)) out.line();
      });
  return out.take();
}

std::string all_text(const GumboNode* root) {
  flow out;
  walk(
      root,
      [&](const GumboNode* node) {
        if (is_text(node)) out.add(node->v.text.text);
        return true;
      },
      [](const GumboNode*) {});
  return out.take();
}

const GumboNode* first_of(const GumboNode* root, GumboTag tag) {
  const GumboNode* found = nullptr;
  walk(
      root,
      [&](const GumboNode* node) {
        if (found) return false;
        if (node->type != GUMBO_NODE_ELEMENT) return true;
        // An SVG picture may hold a <title> of its own, which is not the page's.
        if (node->v.element.tag == GUMBO_TAG_SVG) return false;
        if (node->v.element.tag == tag) found = node;
        return found == nullptr;
      },
      [](const GumboNode*) {});
  return found;
}

} // namespace

expected<readable_page> read_html(std::string_view html) {
  if (const int depth = deepest_nesting(html); depth > max_open_tags)
    return fail(errc::exhausted, "found up to " + std::to_string(depth) +
                                     " unclosed HTML tags, expected at most " +
                                     std::to_string(max_open_tags));
  const std::unique_ptr<GumboOutput, void (*)(GumboOutput*)> parsed(
      gumbo_parse_with_options(&kGumboDefaultOptions, html.data(), html.size()),
      [](GumboOutput* it) { gumbo_destroy_output(&kGumboDefaultOptions, it); });
  readable_page page;
  page.text = body_text(parsed->root);
  if (const auto* title = first_of(parsed->root, GUMBO_TAG_TITLE)) page.title = all_text(title);
  if (page.title.empty())
    if (const auto* heading = first_of(parsed->root, GUMBO_TAG_H1)) page.title = all_text(heading);
  return page;
}

} // namespace troupe
