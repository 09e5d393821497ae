#include "gpu/remote/check_server.hpp"

#include "gpu/remote/look_at_logprobs.hpp"
#include "gpu/remote/server_dialect.hpp"
#include "runtime/base/http_calls.hpp"

namespace troupe {

using namespace remote;

expected<remote_server> check_remote_server(const remote_options& options) {
  if (auto fine = http::check_url(options.url); !fine)
    return fail(errc::invalid, "engine.remote: " + fine.error().message);
  const auto bad = [&](errc code, const std::string& why) {
    return fail(code, server_at(options.url) + " (engine.remote): " + why);
  };
  std::string_view hint; // about a control route that is not there
  const auto asked = [&](const question& what) -> expected<json::value> {
    auto got = http::fetch(what.method, options.url + what.path, what.text(), headers_of(options.key),
                           std::chrono::seconds(30));
    if (!got) return bad(got.error().code, got.error().message);
    if (got->status != 200)
      return bad(errc::invalid, what.method + " " + what.path + " answers " + status_text(*got) +
                                    (got->status == 404 && !hint.empty() ? "; " + std::string(hint) : ""));
    auto parsed = json::parse(got->body);
    if (!parsed) return bad(errc::invalid, what.path + " answers with no JSON: " + parsed.error().message);
    return parsed;
  };
  const auto models = asked(ask_models());
  if (!models) return fail(models.error());
  const auto model = read_models(*models);
  if (!model) return bad(errc::invalid, model.error().message);
  if (model->max_model_len > 0 && model->max_model_len < options.context)
    return bad(errc::invalid, "its model takes " + std::to_string(model->max_model_len) +
                                  " tokens, expected model.context (" + std::to_string(options.context) +
                                  ") at least");
  const auto& speech = dialect_of(model->owner);
  if (&speech != &troupe_dialect() && !options.of_transformers)
    return bad(errc::invalid,
               std::string(speech.name()) +
                   " computes models of transformers, and the policy has a previous_token_map; "
                   "expected model.path, or model.previous_token_map: false");
  hint = speech.control_hint();
  const auto info = asked(speech.ask_weight_label());
  if (!info) return fail(info.error());
  if (const auto label = speech.read_weight_label(*info); !label)
    return bad(errc::invalid, label.error().message);
  if (const auto resumed = asked(speech.ask_resume()); !resumed) return fail(resumed.error());
  hint = {};

  const auto id = "troupe-" + std::to_string(options.nonce) + "-start-";
  generate_request one;
  one.context = {0};
  one.max_new_tokens = 1;
  const auto completion = asked(speech.ask_probe(one, options.vocabulary, model->name, id + "1"));
  if (!completion) return fail(completion.error());
  if (const auto read = speech.read_completion(*completion, one, options.vocabulary); !read)
    return bad(errc::invalid, read.error().message);
  for (const auto& look :
       look_at_logprobs(speech, options.vocabulary, options.temperature, model->name, id)) {
    const auto answer = asked(look.ask);
    if (!answer) return fail(answer.error());
    if (const auto fine = look.read(*answer); !fine) return bad(errc::invalid, fine.error().message);
  }
  return remote_server{std::string(speech.name()), model->name};
}

} // namespace troupe
