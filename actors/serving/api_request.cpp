#include "actors/serving/api_request.hpp"

#include "actors/serving/chat_messages.hpp"
#include "actors/serving/field_reader.hpp"

#include <algorithm>
#include <limits>

namespace troupe::serving {

namespace {

constexpr auto no_grammar = "what is generated is sampled from the model alone, never forced into a form";

/// "stop": a string, or up to 16 of them.
void read_stop(field_reader& in, api_request& to) {
  const auto* it = in.find("stop");
  if (!it) return;
  const auto add = [&](const json::value& one) {
    if (!one.is_string() || one.get_string().empty())
      in.wrong("stop", "a string that is not empty, or an array of such strings");
    else
      to.text.stop.emplace_back(one.get_string());
  };
  if (const auto* list = it->if_array()) {
    if (list->size() > 16) in.wrong("stop", "at most 16 strings");
    for (const auto& one : *list) add(one);
  } else {
    add(*it);
  }
}

std::vector<token> read_tokens(field_reader& in, std::string_view key, const json::array& from,
                               int vocabulary) {
  std::vector<token> out;
  out.reserve(from.size());
  for (const auto& one : from) {
    const auto* n = one.if_int64();
    if (!n || *n < 0 || *n >= vocabulary) {
      in.wrong(key, "token ids from 0 to " + std::to_string(vocabulary - 1));
      break;
    }
    out.push_back(static_cast<token>(*n));
  }
  return out;
}

/// What completions and chats have in common.
void read_common(field_reader& in, api_request& to, const language_model& model, const api_rules& rules) {
  auto& s = to.ask.sampling;
  s = model.sampling;
  s.temperature = in.number("temperature", s.temperature, 0, 100);
  s.top_p = in.number("top_p", s.top_p, 1e-9, 1);
  if (auto k = in.integer("top_k", s.top_k, -1, std::numeric_limits<int>::max()); true)
    s.top_k = static_cast<int>(std::max<std::int64_t>(0, k)); // -1 means off, too
  s.min_p = in.number("min_p", s.min_p, 0, 0.999999);
  s.repetition_penalty = in.number("repetition_penalty", s.repetition_penalty, 0.01, 100);
  to.n = static_cast<int>(in.integer("n", 1, 1, rules.max_choices));
  if (in.integer("best_of", to.n, 1, rules.max_choices) != to.n)
    in.fail({400, "best_of is not supported unless it equals n", "best_of", "unsupported_parameter"});
  to.any_seed = !in.find("seed");
  to.ask.seed = static_cast<std::uint64_t>(in.integer("seed", 0, std::numeric_limits<std::int64_t>::min(),
                                                      std::numeric_limits<std::int64_t>::max()));
  if (in.find("seed_stream")) {
    to.own_stream = true;
    to.ask.draw_stream =
        static_cast<std::uint64_t>(in.integer("seed_stream", 0, std::numeric_limits<std::int64_t>::min(),
                                              std::numeric_limits<std::int64_t>::max()));
    if (to.any_seed || to.n != 1)
      in.fail({400, "seed_stream needs a seed and n: 1", "seed_stream", "invalid_value"});
  }
  read_stop(in, to);
  if (!in.boolean("ignore_eos")) to.ask.stop = model.ends;
  if (const auto* ids = in.list("stop_token_ids"))
    for (token id : read_tokens(in, "stop_token_ids", *ids, model.weights->config.vocab_size))
      to.ask.stop.push_back(id);
  to.ask.min_new_tokens = static_cast<int>(in.integer("min_tokens", 0, 0, std::numeric_limits<int>::max()));
  to.text.min_tokens = to.ask.min_new_tokens;
  to.text.include_stop = in.boolean("include_stop_str_in_output");
  to.text.skip_special = in.boolean("skip_special_tokens", true);
  to.text.shown = model.shown;
  to.ask.priority = static_cast<int>(
      in.integer("priority", 0, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()));
  to.cache_salt = in.text("cache_salt");
  to.stream = in.boolean("stream");
  if (const auto* options = in.map("stream_options")) {
    if (!to.stream) in.fail({400, "stream_options is for streams: set stream to true", "stream_options", {}});
    field_reader inner(*options);
    to.usage_always = inner.boolean("continuous_usage_stats");
    to.usage = inner.boolean("include_usage");
    if (inner.error()) in.fail(*inner.error());
  }
  to.token_ids = in.boolean("return_token_ids");
  to.names_as_ids = in.boolean("return_tokens_as_token_ids");
  const auto asked = in.integer("prompt_logprobs", -1, -1, rules.max_logprobs);
  to.prompt_logprobs = asked >= 0;
  to.ask.prompt_logprobs = static_cast<int>(asked);
  if (to.prompt_logprobs && to.stream)
    in.fail({400, "prompt_logprobs is not available where stream is true", "prompt_logprobs", {}});
  to.ask.stream = true;
  for (const auto* key : {"frequency_penalty", "presence_penalty"})
    in.unsupported(key, "repetition_penalty is");
  for (const auto* key : {"logit_bias", "allowed_token_ids", "bad_words"}) in.unsupported(key, no_grammar);
  for (const auto* key :
       {"structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"})
    in.unsupported(key, no_grammar);
  for (const auto* key : {"use_beam_search", "prompt_embeds", "suffix", "functions", "kv_transfer_params"})
    in.unsupported(key, "this server does not know it");
  if (const auto* format = in.map("response_format"))
    if (const auto type = json::string_at(*format, "type").value_or("?"); type != "text")
      in.fail({400, "response_format of type " + type + " is not supported: " + no_grammar, "response_format",
               "unsupported_parameter"});
}

/// How much may be generated, by what was asked for and what fits. `asked` < 0: as much as fits.
void set_length(field_reader& in, api_request& to, std::int64_t asked, const char* param,
                const api_rules& rules) {
  std::size_t longest = 0;
  for (const auto& prompt : to.prompts) longest = std::max(longest, prompt.size());
  const auto room =
      std::min<std::int64_t>(rules.max_model_len, rules.max_kv_tokens) - static_cast<std::int64_t>(longest);
  const auto needed = std::max<std::int64_t>(asked, 1);
  if (room < needed)
    in.fail({400,
             "this model takes " +
                 std::to_string(std::min<std::int64_t>(rules.max_model_len, rules.max_kv_tokens)) +
                 " tokens, the prompt has " + std::to_string(longest) +
                 (asked > 0 ? " and " + std::to_string(asked) + " more were asked for (" + param + ")"
                            : ", which leaves no room"),
             asked > 0 && room > 0 ? param : "prompt", "context_length_exceeded"});
  to.ask.max_new_tokens = static_cast<int>(asked < 0 ? std::max<std::int64_t>(room, 1) : needed);
  to.ask.min_new_tokens = std::min(to.ask.min_new_tokens, to.ask.max_new_tokens);
}

api_expected<const json::object*> object_of(const json::value& body) {
  if (const auto* it = body.if_object()) return it;
  return refuse("found a body that is " + std::string(json::type_name(body)) + ", expected a JSON object");
}

/// "prompt": a string, token ids, or an array of either.
void read_prompts(field_reader& in, api_request& to, const language_model& model, const api_rules& rules) {
  const auto* it = in.find("prompt");
  const int vocabulary = model.weights->config.vocab_size;
  const bool framed = in.boolean("add_special_tokens", true);
  const auto add = [&](const json::value& one) {
    if (const auto* text = one.if_string()) {
      to.prompts.push_back(model.words->encode(*text, {.read_added = true, .add_template = framed}));
      to.prompt_texts.emplace_back(*text);
    } else if (const auto* ids = one.if_array()) {
      to.prompts.push_back(read_tokens(in, "prompt", *ids, vocabulary));
      to.prompt_texts.push_back(to.echo ? model.words->decode(to.prompts.back(), to.text.skip_special) : "");
    } else {
      in.wrong("prompt", "a string, an array of token ids, or an array of either");
    }
    if (!in.error() && to.prompts.back().empty())
      in.fail({400, "the prompt is empty", "prompt", "invalid_value"});
  };
  if (!it) {
    in.wrong("prompt", "a string, an array of token ids, or an array of either");
    return;
  }
  const auto* list = it->if_array();
  if (!list || list->empty() || list->front().is_number()) return add(*it);
  if (list->size() * static_cast<std::size_t>(to.n) > static_cast<std::size_t>(rules.max_choices))
    return in.wrong("prompt", "at most " + std::to_string(rules.max_choices) + " prompts x n");
  for (const auto& one : *list) add(one);
}

} // namespace

tool_family tools_of(const language_model& model) {
  const bool written = model.template_source.find("tools") != std::string::npos;
  return written ? tool_family_of(model.template_source) : tool_family::none;
}

api_expected<std::string> served_name(const json::object& body, const api_rules& rules) {
  field_reader in(body);
  auto name = in.text("model", rules.served_names.front());
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  if (std::find(rules.served_names.begin(), rules.served_names.end(), name) == rules.served_names.end())
    return refuse("the model \"" + name + "\" does not exist; here is \"" + rules.served_names.front() + "\"",
                  "model", "model_not_found", 404);
  return name;
}

api_expected<api_request> parse_completion(const json::value& body, const language_model& model,
                                           const api_rules& rules) {
  const auto object = object_of(body);
  if (!object) return tl::unexpected<api_error>(object.error());
  auto name = served_name(**object, rules);
  if (!name) return tl::unexpected<api_error>(name.error());
  field_reader in(**object);
  api_request out;
  out.model = *name;
  read_common(in, out, model, rules);
  out.echo = in.boolean("echo");
  const auto logprobs = in.integer("logprobs", -1, -1, rules.max_logprobs);
  out.logprobs = logprobs >= 0;
  out.top = static_cast<int>(std::max<std::int64_t>(0, logprobs));
  if (out.logprobs && out.top > 0) out.ask.top_logprobs = out.top;
  if (out.echo && out.logprobs) { // the prompt's tokens have logprobs, too
    if (out.stream) in.fail({400, "echo with logprobs is not available where stream is true", "echo", {}});
    out.ask.prompt_logprobs = std::max(out.ask.prompt_logprobs, out.top);
  }
  read_prompts(in, out, model, rules);
  auto asked = in.integer("max_tokens", 16, 0, std::numeric_limits<int>::max());
  if (asked == 0 && (out.stream || (!out.echo && !out.prompt_logprobs)))
    in.wrong("max_tokens", "at least 1 (or 0 together with echo or prompt_logprobs, without a stream)");
  out.drop_tokens = asked == 0;
  if (!in.error()) set_length(in, out, asked, "max_tokens", rules);
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  return out;
}

api_expected<api_request> parse_chat(const json::value& body, const language_model& model,
                                     const api_rules& rules, std::int64_t now) {
  const auto object = object_of(body);
  if (!object) return tl::unexpected<api_error>(object.error());
  auto name = served_name(**object, rules);
  if (!name) return tl::unexpected<api_error>(name.error());
  field_reader in(**object);
  api_request out;
  out.chat = true;
  out.model = *name;
  read_common(in, out, model, rules);
  out.logprobs = in.boolean("logprobs");
  out.top = static_cast<int>(in.integer("top_logprobs", 0, 0, rules.max_logprobs));
  if (out.top > 0 && !out.logprobs) in.fail({400, "top_logprobs needs logprobs: true", "top_logprobs", {}});
  if (out.top > 0) out.ask.top_logprobs = out.top;
  in.unsupported("echo", "it is for /v1/completions");
  if (in.error()) return tl::unexpected<api_error>(*in.error());

  auto talk = read_conversation(in, model, rules);
  if (!talk) return tl::unexpected<api_error>(talk.error());
  out.given_tools = talk->tools;
  if (!talk->tools.empty()) {
    out.tools = rules.tools;
    for (const auto& marker : tool_markers(rules.tools))
      if (auto id = model.words->special(marker)) out.text.shown.push_back(*id);
  }
  auto text = conversation_text(model, *talk, now);
  if (!text) return refuse(text.error().message, "messages");
  out.prompts.push_back(conversation_tokens(model, *text));
  if (out.prompts.back().empty()) return refuse("the prompt is empty", "messages", "invalid_value");
  const auto newer = in.integer("max_completion_tokens", -1, 1, std::numeric_limits<int>::max());
  const auto older = in.integer("max_tokens", -1, 1, std::numeric_limits<int>::max());
  if (!in.error())
    set_length(in, out, newer >= 0 ? newer : older, newer >= 0 ? "max_completion_tokens" : "max_tokens",
               rules);
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  return out;
}

api_expected<json::object> tokenize(const json::value& body, const language_model& model,
                                    const api_rules& rules, std::int64_t now) {
  const auto object = object_of(body);
  if (!object) return tl::unexpected<api_error>(object.error());
  if (auto name = served_name(**object, rules); !name) return tl::unexpected<api_error>(name.error());
  field_reader in(**object);
  std::vector<token> ids;
  const bool names = in.boolean("return_token_strs");
  if (in.find("messages")) {
    auto talk = read_conversation(in, model, rules);
    if (!talk) return tl::unexpected<api_error>(talk.error());
    auto text = conversation_text(model, *talk, now);
    if (!text) return refuse(text.error().message, "messages");
    ids = conversation_tokens(model, *text);
  } else {
    if (!in.find("prompt")) in.wrong("prompt", "a string (or messages)");
    const auto text = in.text("prompt");
    const bool framed = in.boolean("add_special_tokens", true);
    if (!in.error()) ids = model.words->encode(text, {.read_added = true, .add_template = framed});
  }
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  json::object out{{"count", ids.size()},
                   {"max_model_len", rules.max_model_len},
                   {"tokens", json::array(ids.begin(), ids.end())},
                   {"token_strs", nullptr}};
  if (names) {
    json::array list;
    for (token id : ids) list.emplace_back(shown_token(model, id));
    out["token_strs"] = std::move(list);
  }
  return out;
}

api_expected<json::object> detokenize(const json::value& body, const language_model& model,
                                      const api_rules& rules) {
  const auto object = object_of(body);
  if (!object) return tl::unexpected<api_error>(object.error());
  if (auto name = served_name(**object, rules); !name) return tl::unexpected<api_error>(name.error());
  field_reader in(**object);
  const auto* list = in.list("tokens");
  if (!list) in.wrong("tokens", "an array of token ids");
  std::vector<token> ids;
  if (list) ids = read_tokens(in, "tokens", *list, model.weights->config.vocab_size);
  if (in.error()) return tl::unexpected<api_error>(*in.error());
  return json::object{{"prompt", shown_text(model, ids)}};
}

} // namespace troupe::serving
