#include "gpu/chat/evaluator.hpp"

#include <algorithm>
#include <cmath>

namespace troupe::jinja {

namespace {

[[noreturn]] void no_operation(const std::string& symbol, const value& a, const value& b) {
  throw failure(std::string(a.type()) + " " + symbol + " " + std::string(b.type()) + " has no meaning" +
                (a.if_undefined()   ? ": \"" + a.if_undefined()->name + "\" is undefined"
                 : b.if_undefined() ? ": \"" + b.if_undefined()->name + "\" is undefined"
                                    : ""));
}

value whole(const std::string& symbol, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflow = false;
  if (symbol == "+")
    overflow = __builtin_add_overflow(a, b, &out);
  else if (symbol == "-")
    overflow = __builtin_sub_overflow(a, b, &out);
  else if (symbol == "*")
    overflow = __builtin_mul_overflow(a, b, &out);
  else if (b == 0)
    throw failure("a division by zero");
  else if (b == -1)
    overflow = symbol == "//" && __builtin_sub_overflow(std::int64_t{0}, a, &out);
  else {
    const auto rest = a % b;
    const bool below = rest != 0 && (rest < 0) != (b < 0); // Python rounds down
    out = symbol == "//" ? a / b - below : rest + (below ? b : 0);
  }
  if (overflow) throw failure("a whole number beyond 64 bits");
  return out;
}

value power(const value& a, const value& b) {
  if (a.if_float() || b.if_float() || b.integer() < 0) return std::pow(a.number(), b.number());
  std::int64_t out = 1;
  for (auto n = b.integer(); n > 0; --n) {
    if (__builtin_mul_overflow(out, a.integer(), &out)) throw failure("a whole number beyond 64 bits");
    if (out == 0 || out == 1) break;
  }
  return out;
}

value arithmetic(const std::string& symbol, const value& a, const value& b) {
  if (!a.is_number() || !b.is_number()) no_operation(symbol, a, b);
  if (symbol == "**") return power(a, b);
  const bool real = a.if_float() || b.if_float();
  if (!real && symbol != "/") return whole(symbol, a.integer(), b.integer());
  const double x = a.number(), y = b.number();
  if (symbol == "+") return x + y;
  if (symbol == "-") return x - y;
  if (symbol == "*") return x * y;
  if (y == 0) throw failure("a division by zero");
  if (symbol == "/") return x / y;
  if (symbol == "//") return std::floor(x / y);
  const double rest = std::fmod(x, y);
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

value repeated(const value& what, std::int64_t times, evaluator& by) {
  times = std::max<std::int64_t>(times, 0);
  const auto size = what.if_string() ? what.if_string()->size() : what.if_list()->size() * sizeof(value);
  if (size > 0 && static_cast<std::uint64_t>(times) > (std::uint64_t{1} << 40) / size)
    throw failure("a repetition beyond all limits");
  by.spend_bytes(size * static_cast<std::size_t>(times));
  if (const auto* text = what.if_string()) {
    std::string out;
    for (; times > 0 && !text->empty(); --times) out += *text;
    return out;
  }
  list out;
  for (; times > 0 && !what.if_list()->empty(); --times)
    out.insert(out.end(), what.if_list()->begin(), what.if_list()->end());
  return value(std::move(out), what.is_tuple());
}

} // namespace

void evaluator::spend_bytes(std::size_t bytes) {
  if (bytes > left_.bytes) throw failure("the template makes more text than it may");
  left_.bytes -= bytes;
}

std::string evaluator::render(const std::vector<statement>& body) {
  std::string out;
  run(body, globals_, out);
  return out;
}

evaluator::flow evaluator::run(const std::vector<statement>& body, scope& in, std::string& out) {
  for (auto& one : body) {
    if (left_.steps == 0) throw failure("the template takes more steps than it may");
    --left_.steps;
    try {
      if (const auto how = run(one, in, out); how != flow::on) return how;
    } catch (const failure& why) {
      if (std::string_view(why.what()).starts_with("line ")) throw;
      throw failure("line " + std::to_string(one.line) + ": " + why.what());
    }
  }
  return flow::on;
}

evaluator::flow evaluator::run(const statement& one, scope& in, std::string& out) {
  using kind = statement::kind;
  const auto put = [&](const std::string& text) {
    spend_bytes(text.size());
    out += text;
  };
  const auto body_text = [&] {
    std::string text;
    scope inner{.names = {}, .outer = &in};
    run(one.body, inner, text);
    return text;
  };
  switch (one.what) {
  case kind::text: put(one.text); return flow::on;
  case kind::output: put(evaluate(*one.value, in).text()); return flow::on;
  case kind::branch: return run(evaluate(*one.value, in).truth() ? one.body : one.otherwise, in, out);
  case kind::loop: return loop(one, in, out);
  case kind::set: assign(*one.target, evaluate(*one.value, in), in); return flow::on;
  case kind::set_block: {
    value text = body_text();
    assign(*one.target, one.value ? filtered(*one.value, text, in) : text, in);
    return flow::on;
  }
  case kind::block: {
    value text = body_text();
    put((one.value ? filtered(*one.value, text, in) : text).text());
    return flow::on;
  }
  case kind::macro: in.names[one.text] = macro(one, in); return flow::on;
  case kind::stop: return flow::stop;
  case kind::skip: return flow::skip;
  }
  return flow::on;
}

evaluator::flow evaluator::loop(const statement& one, scope& in, std::string& out) {
  auto items = iterated(evaluate(*one.value, in));
  const auto bind = [&](const value& item, scope& to) {
    if (one.targets.size() == 1) return void(to.names[one.targets[0]] = item);
    const auto parts = iterated(item);
    if (parts.size() != one.targets.size())
      throw failure("found " + std::to_string(parts.size()) + " values for " +
                    std::to_string(one.targets.size()) + " names");
    for (std::size_t i = 0; i < parts.size(); ++i) to.names[one.targets[i]] = parts[i];
  };
  if (one.condition)
    std::erase_if(items, [&](const value& item) {
      scope inner{.names = {}, .outer = &in};
      bind(item, inner);
      return !evaluate(*one.condition, inner).truth();
    });
  const auto count = static_cast<std::int64_t>(items.size());
  for (std::int64_t i = 0; i < count; ++i) {
    scope inner{.names = {}, .outer = &in};
    bind(items[static_cast<std::size_t>(i)], inner);
    map_object loop{.items = {{"index", i + 1},
                              {"index0", i},
                              {"revindex", count - i},
                              {"revindex0", count - i - 1},
                              {"first", i == 0},
                              {"last", i + 1 == count},
                              {"length", count},
                              {"depth", 1},
                              {"depth0", 0}}};
    if (i > 0) loop.items.emplace_back("previtem", items[static_cast<std::size_t>(i - 1)]);
    if (i + 1 < count) loop.items.emplace_back("nextitem", items[static_cast<std::size_t>(i + 1)]);
    loop.items.emplace_back("cycle", function([i](const call_arguments& with) {
                              if (with.positional.empty()) throw failure("loop.cycle needs values");
                              return with.positional[static_cast<std::size_t>(i) % with.positional.size()];
                            }));
    inner.names["loop"] = std::move(loop);
    if (left_.steps == 0) throw failure("the template takes more steps than it may");
    --left_.steps;
    if (run(one.body, inner, out) == flow::stop) break;
  }
  return count == 0 ? run(one.otherwise, in, out) : flow::on;
}

void evaluator::assign(const expression& target, value what, scope& in) {
  if (target.what == expression::kind::name) return void(in.names[target.text] = std::move(what));
  if (target.what == expression::kind::attribute) {
    const auto object = evaluate(*target.parts[0], in);
    auto* space = object.if_map();
    if (!space || !space->space)
      throw failure("cannot set a part of " + std::string(object.type()) + ", only of a namespace");
    return space->set(target.text, std::move(what));
  }
  const auto parts = iterated(what);
  if (parts.size() != target.parts.size())
    throw failure("found " + std::to_string(parts.size()) + " values for " +
                  std::to_string(target.parts.size()) + " names");
  for (std::size_t i = 0; i < parts.size(); ++i) assign(*target.parts[i], parts[i], in);
}

/// A macro sees the names around its definition as they are when it is called; one from inside a loop cannot outlive it, since it
/// cannot be given out but through a namespace: then it is called with the template's own names.
value evaluator::macro(const statement& one, scope& in) {
  auto* around = &in == &globals_ ? &in : nullptr;
  auto copies = std::make_shared<scope>();
  for (const scope* s = &in; !around && s != &globals_; s = s->outer)
    for (auto& [name, held] : s->names) copies->names.emplace(name, held);
  copies->outer = &globals_;
  return function([this, &one, copies](const call_arguments& with) {
    scope inner{.names = {}, .outer = copies.get()};
    if (with.positional.size() > one.targets.size())
      throw failure("the macro \"" + one.text + "\" takes at most " + std::to_string(one.targets.size()) +
                    " arguments");
    for (auto& [name, given] : with.named)
      if (std::find(one.targets.begin(), one.targets.end(), name) == one.targets.end())
        throw failure("the macro \"" + one.text + "\" has no argument \"" + name + "\"");
    const auto required = one.targets.size() - one.defaults.size();
    for (std::size_t i = 0; i < one.targets.size(); ++i) {
      if (with.has(i, one.targets[i]))
        inner.names[one.targets[i]] = with.get(i, one.targets[i]);
      else if (i >= required)
        inner.names[one.targets[i]] = evaluate(*one.defaults[i - required], inner);
      else
        inner.names[one.targets[i]] = undefined{one.targets[i]};
    }
    std::string out;
    run(one.body, inner, out);
    return value(out);
  });
}

// -- expressions

value evaluator::lookup(const std::string& name, const scope& in) const {
  for (const scope* s = &in; s; s = s->outer)
    if (const auto found = s->names.find(name); found != s->names.end()) return found->second;
  return undefined{name};
}

value evaluator::evaluate(const expression& e, scope& in) {
  if (left_.steps == 0) throw failure("the template takes more steps than it may");
  --left_.steps;
  if (left_.depth == 0) throw failure("calls within calls, deeper than they may be");
  --left_.depth;
  struct up {
    int& depth;
    ~up() { ++depth; }
  } back{left_.depth};
  return evaluate_now(e, in);
}

value evaluator::evaluate_now(const expression& e, scope& in) {
  using kind = expression::kind;
  const auto part = [&](std::size_t i) { return evaluate(*e.parts[i], in); };
  switch (e.what) {
  case kind::constant: return e.constant;
  case kind::name: return lookup(e.text, in);
  case kind::list:
  case kind::tuple: {
    list out;
    for (auto& one : e.parts) out.push_back(evaluate(*one, in));
    return value(std::move(out), e.what == kind::tuple);
  }
  case kind::map: {
    map_object out;
    for (std::size_t i = 0; i < e.parts.size(); i += 2) {
      const auto key = part(i);
      if (!key.if_string())
        throw failure("a key of a map is " + std::string(key.type()) + ", supported are str");
      out.set(*key.if_string(), part(i + 1));
    }
    return out;
  }
  case kind::attribute: return attribute_of(part(0), e.text, *this);
  case kind::item: return item_of(part(0), part(1), *this);
  case kind::slice: return sliced(e, in);
  case kind::call: return called(e, in);
  case kind::filter: return apply_filter(e.text, part(0), arguments_of(e, 1, in), *this);
  case kind::test: return apply_test(e.text, part(0), arguments_of(e, 1, in));
  case kind::negation: return !part(0).truth();
  case kind::unary: {
    const auto of = part(0);
    if (!of.is_number()) throw failure("\"" + e.text + "\" of " + std::string(of.type()) + " has no meaning");
    return e.text == "-" ? arithmetic("-", 0, of) : of;
  }
  case kind::binary: return binary(e, in);
  case kind::compare: return compared(e, in);
  case kind::condition:
    if (part(1).truth()) return part(0);
    return e.parts[2] ? part(2) : value(undefined{"the inline if without else"});
  }
  return {};
}

value evaluator::binary(const expression& e, scope& in) {
  auto left = evaluate(*e.parts[0], in);
  if (e.text == "and" || e.text == "or")
    return left.truth() == (e.text == "or") ? left : evaluate(*e.parts[1], in);
  const auto right = evaluate(*e.parts[1], in);
  if (e.text == "~" || (e.text == "+" && left.if_string() && right.if_string())) {
    auto out = left.text() + right.text();
    spend_bytes(out.size());
    return out;
  }
  if (e.text == "+" && left.if_list() && right.if_list() && left.is_tuple() == right.is_tuple()) {
    auto out = *left.if_list();
    out.insert(out.end(), right.if_list()->begin(), right.if_list()->end());
    spend_bytes(out.size() * sizeof(value));
    return value(std::move(out), left.is_tuple());
  }
  if (e.text == "*") {
    if ((left.if_string() || left.if_list()) && right.is_number())
      return repeated(left, right.integer(), *this);
    if ((right.if_string() || right.if_list()) && left.is_number())
      return repeated(right, left.integer(), *this);
  }
  return arithmetic(e.text, left, right);
}

value evaluator::compared(const expression& e, scope& in) {
  auto left = evaluate(*e.parts[0], in);
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    const auto right = evaluate(*e.parts[i + 1], in);
    const auto& symbol = e.operators[i];
    bool holds = false;
    if (symbol == "==" || symbol == "!=")
      holds = (left == right) == (symbol == "==");
    else if (symbol == "in" || symbol == "not in")
      holds = contains(right, left) == (symbol == "in");
    else {
      const int order = compare(left, right);
      holds = symbol == "<"    ? order < 0
              : symbol == "<=" ? order <= 0
              : symbol == ">"  ? order > 0
                               : order >= 0;
    }
    if (!holds) return false;
    left = right;
  }
  return true;
}

value evaluator::sliced(const expression& e, scope& in) {
  const auto of = evaluate(*e.parts[0], in);
  const auto bound = [&](std::size_t i) { return e.parts[i] ? evaluate(*e.parts[i], in) : value(); };
  const auto first = bound(1), last = bound(2), by = bound(3);
  if (of.is_undefined()) return of;
  std::vector<std::string> letters;
  if (of.if_string()) letters = characters(*of.if_string());
  if (!of.if_string() && !of.if_list()) throw failure(std::string(of.type()) + " has no slices");
  const auto size = static_cast<std::int64_t>(of.if_string() ? letters.size() : of.if_list()->size());
  const auto step = by.is_none() ? 1 : by.integer();
  if (step == 0) throw failure("a slice with a step of 0");
  const auto place = [&](const value& given, std::int64_t absent) {
    if (given.is_none()) return absent;
    const auto at = given.integer() < 0 ? given.integer() + size : given.integer();
    return std::clamp<std::int64_t>(at, step > 0 ? 0 : -1, step > 0 ? size : size - 1);
  };
  std::string text;
  list items;
  const auto end = place(last, step > 0 ? size : -1);
  for (auto at = place(first, step > 0 ? 0 : size - 1); step > 0 ? at < end : at > end;
       at += std::clamp<std::int64_t>(step, -size - 1, size + 1)) {
    if (of.if_string())
      text += letters[static_cast<std::size_t>(at)];
    else
      items.push_back((*of.if_list())[static_cast<std::size_t>(at)]);
  }
  spend_bytes(text.size() + items.size() * sizeof(value));
  return of.if_string() ? value(text) : value(std::move(items), of.is_tuple());
}

call_arguments evaluator::arguments_of(const expression& e, std::size_t first, scope& in) {
  call_arguments out;
  for (auto i = first; i < e.parts.size(); ++i) out.positional.push_back(evaluate(*e.parts[i], in));
  for (auto& [name, given] : e.named) out.named.emplace_back(name, evaluate(*given, in));
  return out;
}

value evaluator::called(const expression& e, scope& in) {
  const auto what = evaluate(*e.parts[0], in);
  if (const auto* u = what.if_undefined())
    throw failure("\"" + u->name + "\" is undefined, or not allowed here");
  if (!what.if_function()) throw failure(std::string(what.type()) + " cannot be called");
  return (*what.if_function())(arguments_of(e, 1, in));
}

value evaluator::filtered(const expression& e, value of, scope& in) {
  if (e.parts[0]) of = filtered(*e.parts[0], std::move(of), in);
  return apply_filter(e.text, of, arguments_of(e, 1, in), *this);
}

} // namespace troupe::jinja
