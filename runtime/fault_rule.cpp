#include "runtime/fault_rule.hpp"

#include "runtime/fault_words.hpp"

#include <algorithm>
#include <sstream>

namespace troupe {

namespace {

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& w : words) out += (out.empty() ? "" : ", ") + w;
  return out;
}

std::string quoted(std::string_view word) { return "\"" + std::string(word) + "\""; }

bool has(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// What can go wrong at a site, in words.
std::string_view possible(fault_site site) {
  switch (site) {
  case fault_site::answer: return "kill, throw, fail, garbage, wrong or slow";
  case fault_site::log: return "kill, throw, enospc or eio";
  case fault_site::write: return "kill, throw, enospc, eio, flip or truncate";
  case fault_site::tensor: return "flip";
  case fault_site::state: break;
  }
  return "kill or throw: nothing is answered there";
}

bool possible(fault_site site, fault_kind what) {
  const bool end = what == fault_kind::kill || what == fault_kind::raise;
  switch (site) {
  case fault_site::state: return end;
  case fault_site::answer: return end || (what >= fault_kind::fail && what <= fault_kind::slow);
  case fault_site::log: return end || what == fault_kind::enospc || what == fault_kind::eio;
  case fault_site::write: return end || (what >= fault_kind::enospc && what <= fault_kind::truncate);
  case fault_site::tensor: return what == fault_kind::flip;
  }
  return false;
}

/// Reads one rule. A message: what was found, what was expected; empty: it goes on.
class reader {
public:
  reader(const std::string& text, const fault_targets& targets) : text_(text), targets_(targets) {
    out_.text = text;
  }

  expected<fault_rule> read() {
    std::istringstream in(text_);
    in >> verb_ >> out_.whom;
    bool fine = what() && whom();
    for (std::string word; fine && in >> word;) fine = option(word);
    if (!fine || !when() || !place() || !measure()) return fail(errc::invalid, std::move(why_));
    return out_;
  }

private:
  bool wrong(const std::string& found, const std::string& expected_words) {
    why_ = "fault \"" + text_ + "\": found " + found + ", expected " + expected_words;
    return false;
  }

  bool what() {
    const auto kind = fault_kind_of(verb_);
    if (!kind) return wrong(quoted(verb_), "as the first word one of " + all_fault_kinds());
    out_.what = *kind;
    return true;
  }

  bool whom() {
    if (out_.what == fault_kind::jump)
      return out_.whom == "clock" || wrong(quoted(out_.whom), "clock: nothing else jumps");
    if (out_.of_messages()) {
      const auto arrow = out_.whom.find("->");
      if (arrow == std::string::npos)
        return wrong(quoted(out_.whom), "FROM->TO, each any or a kind of actor: " + listed(targets_.kinds));
      out_.from = out_.whom.substr(0, arrow);
      out_.whom.erase(0, arrow + 2);
      for (const auto& end : {out_.from, out_.whom})
        if (end != "any" && !has(targets_.kinds, end))
          return wrong(quoted(end), "any or a kind of actor: " + listed(targets_.kinds));
      return true;
    }
    base_ = out_.whom.substr(0, out_.whom.find('/'));
    const bool part = std::any_of(targets_.points.begin(), targets_.points.end(),
                                  [&](const fault_point& p) { return p.whom == base_; });
    return base_ == "any" || part || has(targets_.kinds, base_) ||
           wrong(quoted(out_.whom), "any or a kind of actor: " + listed(targets_.kinds));
  }

  bool option(const std::string& word) {
    const auto sign = word.find('=');
    const auto key = word.substr(0, sign), value = sign == std::string::npos ? "" : word.substr(sign + 1);
    if (key == "every" || key == "after" || key == "until" || key == "for") {
      const auto span = fault_time(value);
      if (!span) return wrong(quoted(word), key + "= a time such as 500ms, 2s or 1m");
      (key == "every"   ? out_.every
       : key == "after" ? out_.after
       : key == "until" ? out_.until
                        : out_.length) = *span;
      for_ = for_ || key == "for";
    } else if (key == "by") {
      const auto span = fault_time(value, true);
      if (!span) return wrong(quoted(word), "by= a time with a sign, such as +1h or -262s");
      out_.length = *span;
      by_ = true;
    } else if (key == "rate") {
      const auto n = fault_number(value);
      if (!n || *n <= 0 || *n > 1e4) return wrong(quoted(word), "rate= a number a second, above 0");
      out_.rate = *n;
    } else if (key == "share" || key == "of") {
      const auto n = fault_number(value);
      if (!n || *n <= 0 || *n > 1)
        return wrong(quoted(word),
                     key + (key == "share" ? "= a chance" : "= a share") + " above 0, at most 1");
      (key == "share" ? out_.share : out_.of) = *n;
      drawn_ += key == "share";
    } else if (key == "nth" || key == "each" || key == "attempts") {
      const auto n = fault_count(value);
      if (!n || (key == "attempts" && *n > 100'000))
        return wrong(quoted(word), key + "= a whole number from 1");
      if (key == "attempts")
        out_.attempts = static_cast<int>(*n);
      else
        (key == "nth" ? out_.nth : out_.each) = *n;
      drawn_ += key != "attempts";
    } else if (key == "at") {
      out_.point = value;
    } else {
      return wrong(quoted(word),
                   "every=, rate=, after=, until=, at=, share=, nth=, each=, of=, attempts=, for= or by=");
    }
    return true;
  }

  bool when() {
    const bool timed = out_.every > duration(0) || out_.rate > 0;
    if (drawn_ > 1) return wrong("several of share=, nth= and each=", "one of them");
    if (out_.until > duration(0) && out_.until <= out_.after)
      return wrong("until= before after=", "a time after it");
    if (out_.of_messages()) {
      if (timed || !out_.point.empty())
        return wrong("every=, rate= or at= for messages", "share=, nth= or each=");
      return drawn_ == 1 || wrong("no share of messages", "one of share=, nth= or each=");
    }
    if (!out_.point.empty()) return !timed || wrong("several times", "one of every=, rate=, after= or at=");
    if (drawn_ > 0)
      return wrong("share=, nth= or each= without at=", "them at a point, or of messages, only");
    if (out_.every > duration(0) && out_.rate > 0)
      return wrong("several times", "one of every=, rate=, after= or at=");
    return timed || out_.after > duration(0) || wrong("no time", "one of every=, rate=, after= or at=");
  }

  bool place() {
    if (out_.of_messages()) {
      if (out_.of != 1 || out_.attempts)
        return wrong("of= or attempts= for messages", "share=, nth= or each=");
      return true;
    }
    if (out_.attempts && base_ != "rollout" && base_ != "tool")
      return wrong("attempts= for " + base_, "it for rollout or tool");
    if (out_.point.empty()) {
      if (out_.what > fault_kind::hang && out_.what != fault_kind::jump)
        return wrong(verb_ + " without at=", "at= the operation that it changes");
      if (out_.what != fault_kind::jump && base_ != "any" && !has(targets_.kinds, base_))
        return wrong(base_ + " without at=", "at= one of its points: it is no actor");
      return true;
    }
    std::vector<std::string> known;
    const fault_point* found = nullptr;
    for (const auto& p : targets_.points) {
      if (base_ != "any" && p.whom != base_) continue;
      known.emplace_back(p.point);
      if (p.point == out_.point) found = &p;
    }
    if (!found)
      return wrong("at=" + out_.point, known.empty() ? "every=, rate= or after=: " + base_ + " has no points"
                                                     : "a state of " + base_ + ": " + listed(known));
    return possible(found->site, out_.what) ||
           wrong(verb_ + " at=" + out_.point, std::string(possible(found->site)));
  }

  bool measure() {
    const bool timed =
        out_.what == fault_kind::stall || out_.what == fault_kind::slow || out_.what == fault_kind::delay;
    if (timed && !for_) return wrong(verb_ + " without for=", "for= a time");
    if (!timed && for_) return wrong(verb_ + " with for=", "for= with stall, slow or delay only");
    if ((out_.what == fault_kind::jump) != by_)
      return wrong(verb_ + (by_ ? " with by=" : " without by="), "by= with jump, and only there");
    return true;
  }

  const std::string& text_;
  const fault_targets& targets_;
  fault_rule out_;
  std::string verb_, base_, why_;
  int drawn_ = 0; ///< of share=, nth= and each=
  bool for_ = false, by_ = false;
};

} // namespace

bool fault_rule::matches(std::string_view actor) const {
  return whom == "any" || actor == whom ||
         (actor.starts_with(whom) && actor.substr(whom.size()).starts_with('/'));
}

expected<fault_rule> parse_fault_rule(const std::string& text, const fault_targets& targets) {
  return reader(text, targets).read();
}

} // namespace troupe
