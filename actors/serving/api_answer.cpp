#include "actors/serving/api_answer.hpp"

#include "actors/serving/chat_messages.hpp"
#include "gpu/text/unicode.hpp"
#include "runtime/base/random.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace troupe::serving {

namespace {

/// JSON has no infinity.
double finite(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0; }

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

json::array bytes_of(const std::string& text) {
  json::array out;
  for (char c : text) out.emplace_back(static_cast<unsigned char>(c));
  return out;
}

json::array ids(const std::vector<token>& from, std::size_t first = 0) {
  return json::array(from.begin() + static_cast<std::ptrdiff_t>(std::min(first, from.size())), from.end());
}

} // namespace

json::object answer_writer::head(std::string_view object) const {
  return {{"id", request_.id}, {"object", object}, {"created", created_}, {"model", request_.model}};
}

std::string answer_writer::token_name(token id) const {
  return request_.names_as_ids ? "token_id:" + std::to_string(id) : shown_token(model_, id);
}

json::object answer_writer::chat_entry(token id, float logprob) const {
  return {{"token", token_name(id)},
          {"logprob", finite(logprob)},
          {"bytes", bytes_of(model_.words->decode({id}))}};
}

/// Of the tokens from `from` on. `offset`: characters before them.
json::value answer_writer::logprobs(const choice& of, std::size_t from, std::size_t offset) const {
  if (!request_.logprobs) return nullptr;
  if (request_.chat) {
    json::array content;
    for (auto i = from; i < of.tokens.size(); ++i) {
      auto entry = chat_entry(of.tokens[i], of.logprobs[i]);
      json::array likeliest;
      if (request_.top > 0)
        for (const auto& [id, logprob] : of.top[i]) likeliest.push_back(chat_entry(id, logprob));
      entry["top_logprobs"] = std::move(likeliest);
      content.push_back(std::move(entry));
    }
    return json::object{{"content", std::move(content)}};
  }
  json::array names, values, tops, offsets;
  const auto add = [&](token id, const float* logprob, const std::vector<ranked_token>* likeliest) {
    const auto name = token_name(id);
    names.emplace_back(name);
    values.push_back(logprob ? json::value(finite(*logprob)) : json::value(nullptr));
    offsets.emplace_back(offset);
    offset += characters(shown_token(model_, id));
    if (!logprob || !likeliest) {
      tops.emplace_back(nullptr);
      return;
    }
    json::object beside;
    for (const auto& one : *likeliest) beside[token_name(one.id)] = finite(one.logprob);
    beside[name] = finite(*logprob);
    tops.push_back(std::move(beside));
  };
  static const std::vector<ranked_token> none;
  if (request_.echo && from == 0) {
    const auto& prompt = request_.prompts[static_cast<std::size_t>(of.prompt)];
    for (std::size_t i = 0; i < prompt.size(); ++i)
      if (i == 0 || i >= of.prompt_logprobs.size())
        add(prompt[i], nullptr, nullptr);
      else
        add(prompt[i], &of.prompt_logprobs[i], i < of.prompt_top.size() ? &of.prompt_top[i] : &none);
  }
  if (!request_.drop_tokens)
    for (auto i = from; i < of.tokens.size(); ++i)
      add(of.tokens[i], &of.logprobs[i], request_.top > 0 ? &of.top[i] : &none);
  return json::object{{"text_offset", std::move(offsets)},
                      {"token_logprobs", std::move(values)},
                      {"tokens", std::move(names)},
                      {"top_logprobs", std::move(tops)}};
}

/// By prompt token: null, then {id: {"logprob", "rank", "decoded_token"}} of it and of the likeliest.
json::value answer_writer::prompt_logprobs(const choice& of) const {
  if (!request_.prompt_logprobs) return nullptr;
  const auto& prompt = request_.prompts[static_cast<std::size_t>(of.prompt)];
  json::array out{nullptr};
  for (std::size_t i = 1; i < prompt.size() && i < of.prompt_logprobs.size(); ++i) {
    json::object beside;
    const auto add = [&](token id, float logprob, json::value rank) {
      beside[std::to_string(id)] = json::object{{"logprob", finite(logprob)},
                                                {"rank", std::move(rank)},
                                                {"decoded_token", shown_token(model_, id)}};
    };
    add(prompt[i], of.prompt_logprobs[i], nullptr);
    if (i < of.prompt_top.size())
      for (std::size_t k = 0; k < of.prompt_top[i].size(); ++k)
        if (static_cast<int>(k) < request_.ask.prompt_logprobs)
          add(of.prompt_top[i][k].id, of.prompt_top[i][k].logprob, k + 1);
    out.push_back(std::move(beside));
  }
  return out;
}

json::array answer_writer::calls(const choice& of, std::size_t from, bool numbered) const {
  json::array out;
  for (auto i = from; i < of.calls.size(); ++i) {
    const auto mixed = derive_seed(derive_seed(static_cast<std::uint64_t>(of.index), request_.id), i);
    char name[24];
    // Mistral's templates take nine letters and digits
    std::snprintf(
        name, sizeof name, request_.tools == tool_family::mistral ? "%09llx" : "call_%016llx",
        static_cast<unsigned long long>(request_.tools == tool_family::mistral ? mixed >> 28 : mixed));
    json::object call;
    if (numbered) call["index"] = i;
    call["id"] = name;
    call["type"] = "function";
    call["function"] = json::object{{"name", of.calls[i].name}, {"arguments", of.calls[i].arguments}};
    out.push_back(std::move(call));
  }
  return out;
}

json::object answer_writer::usage(const std::vector<choice>& choices) const {
  std::size_t prompt = 0, made = 0;
  std::int64_t cached = 0;
  for (const auto& tokens : request_.prompts) prompt += tokens.size();
  for (const auto& one : choices) {
    made += request_.drop_tokens ? 0 : one.tokens.size();
    if (one.index % request_.n == 0) cached += one.cached_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", made},
          {"total_tokens", prompt + made},
          {"prompt_tokens_details", json::object{{"cached_tokens", cached}}}};
}

json::object answer_writer::whole(const std::vector<choice>& choices) const {
  auto out = head(request_.chat ? "chat.completion" : "text_completion");
  json::array list;
  for (const auto& one : choices) {
    json::object entry{{"index", one.index}};
    if (request_.chat) {
      json::object message{{"role", "assistant"}, {"content", one.text}};
      if (!one.calls.empty()) {
        if (one.text.empty()) message["content"] = nullptr;
        message["tool_calls"] = calls(one, 0, false);
      }
      entry["message"] = std::move(message);
    } else {
      const auto text = request_.drop_tokens ? std::string() : one.text;
      entry["text"] =
          request_.echo
              ? with_replacements(request_.prompt_texts[static_cast<std::size_t>(one.prompt)]) + text
              : text;
    }
    entry["logprobs"] = logprobs(one, 0, 0);
    entry["finish_reason"] = one.finish_reason;
    entry["stop_reason"] = one.stop_reason;
    const auto& prompt = request_.prompts[static_cast<std::size_t>(one.prompt)];
    if (request_.token_ids) {
      entry["token_ids"] = request_.drop_tokens ? json::array() : ids(one.tokens);
      entry["weight_versions"] = json::array(one.versions.begin(), one.versions.end());
      if (!request_.chat) entry["prompt_token_ids"] = ids(prompt);
    }
    if (!request_.chat && request_.prompt_logprobs) entry["prompt_logprobs"] = prompt_logprobs(one);
    list.push_back(std::move(entry));
  }
  out["choices"] = std::move(list);
  out["usage"] = usage(choices);
  if (request_.chat) {
    out["prompt_logprobs"] = prompt_logprobs(choices.front());
    if (request_.token_ids) out["prompt_token_ids"] = ids(request_.prompts.front());
  }
  return out;
}

std::optional<json::object> answer_writer::chunk(choice& of, const std::vector<choice>& all) const {
  const bool tokens = of.told_tokens < of.tokens.size() && (request_.logprobs || request_.token_ids);
  const bool news = !of.begun ? !of.tokens.empty() || of.done()
                              : tokens || of.told_text < of.text.size() || of.told_calls < of.calls.size();
  if (of.ended || (!news && !of.done())) return std::nullopt;
  const bool first = !std::exchange(of.begun, true);
  of.ended = of.done();
  auto out = head(request_.chat ? "chat.completion.chunk" : "text_completion");
  json::object entry{{"index", of.index}};
  const auto text = of.text.substr(of.told_text);
  if (request_.chat) {
    json::object delta;
    if (first) delta["role"] = "assistant";
    if (first || !text.empty()) delta["content"] = text;
    if (of.told_calls < of.calls.size()) delta["tool_calls"] = calls(of, of.told_calls, true);
    entry["delta"] = std::move(delta);
  } else {
    entry["text"] = first && request_.echo
                        ? with_replacements(request_.prompt_texts[static_cast<std::size_t>(of.prompt)]) + text
                        : text;
  }
  entry["logprobs"] = logprobs(of, of.told_tokens, of.told_characters);
  entry["finish_reason"] = of.done() ? json::value(of.finish_reason) : json::value(nullptr);
  if (of.done()) entry["stop_reason"] = of.stop_reason;
  if (request_.token_ids) {
    entry["token_ids"] = ids(of.tokens, of.told_tokens);
    json::array versions;
    for (auto i = of.told_tokens; i < of.versions.size(); ++i) versions.emplace_back(of.versions[i]);
    entry["weight_versions"] = std::move(versions);
    const auto& prompt = request_.prompts[static_cast<std::size_t>(of.prompt)];
    if (first && !request_.chat) entry["prompt_token_ids"] = ids(prompt);
    if (first && request_.chat) out["prompt_token_ids"] = ids(prompt);
  }
  for (; of.told_tokens < of.tokens.size(); ++of.told_tokens)
    of.told_characters += characters(shown_token(model_, of.tokens[of.told_tokens]));
  of.told_text = of.text.size();
  of.told_calls = of.calls.size();
  out["choices"] = json::array{std::move(entry)};
  if (request_.usage_always) out["usage"] = usage(all);
  return out;
}

json::object answer_writer::usage_chunk(const std::vector<choice>& choices) const {
  auto out = head(request_.chat ? "chat.completion.chunk" : "text_completion");
  out["choices"] = json::array();
  out["usage"] = usage(choices);
  return out;
}

} // namespace troupe::serving
