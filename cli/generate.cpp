#include "cli/commands.hpp"
#include "cli/model_argument.hpp"
#include "cli/session.hpp"
#include "cli/terminal_text.hpp"
#include "gpu/engine_device.hpp"
#include "gpu/text/generation_text.hpp"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <random>
#include <unistd.h>

namespace troupe::cli {

namespace {

double elapsed(duration since) { return seconds(system_clock().now() - since); }

std::string rate(double tokens, double time) { return time > 0 ? fixed(tokens / time, 1) : "–"; }

struct outcome {
  std::string text;
  std::vector<token> tokens;
  std::string reason;         ///< "stop", "length", "interrupted"
  double first = 0, rest = 0; ///< seconds to the first token, and from there to the last
};

/// Steps until the end, a stop string or a signal; what is certain of the text goes to `show`.
expected<outcome> generate_text(engine_core& engine, const language_model& model, generate_request request,
                                text_limits limits, const std::function<void(const std::string&)>& show) {
  outcome out;
  generation_text text(*model.words, std::move(limits));
  const auto say = [&](const std::string& more) {
    out.text += more;
    show(more);
  };
  const auto start = system_clock().now();
  const auto id = request.sequence;
  const auto ends = request.stop;
  request.stream = true;
  if (auto taken = engine.submit(std::move(request)); !taken) return fail(taken.error());
  std::vector<generated> finished;
  std::vector<token_news> news;
  while (finished.empty() && !text.stopped_by()) {
    if (signals_seen() > 0) {
      engine.cancel(id);
      out.reason = "interrupted";
      break;
    }
    news.clear();
    engine.step(finished, &news);
    for (const auto& one : news) {
      if (out.tokens.empty()) out.first = elapsed(start);
      out.tokens.push_back(one.id);
      const bool end = !finished.empty() && finished[0].reason == finish_reason::stop &&
                       std::find(ends.begin(), ends.end(), one.id) != ends.end();
      if (!end) say(text.push(one.id)); // the token that ends a turn is not part of its text
    }
  }
  say(text.finish());
  out.rest = elapsed(start) - out.first;
  if (text.stopped_by())
    out.reason = "stop";
  else if (out.reason.empty())
    out.reason = finished.at(0).reason == finish_reason::stop ? "stop" : "length";
  return out;
}

expected<std::vector<token>> context_of(const language_model& model, const generate_arguments& arguments,
                                        const std::string& prompt) {
  if (arguments.raw || !model.conversation) {
    if (!arguments.system.empty())
      return fail(errc::invalid, arguments.raw
                                     ? "--system needs the model's chat template, which --raw turns off"
                                     : "--system needs a chat template, and " + model.name + " has none");
    auto out = prompt_tokens(model, prompt);
    if (out.empty()) return fail(errc::invalid, "the prompt is empty");
    return out;
  }
  if (prompt.empty()) return fail(errc::invalid, "the prompt is empty");
  conversation_input talk;
  if (!arguments.system.empty())
    talk.messages.push_back(json::object{{"role", "system"}, {"content", arguments.system}});
  talk.messages.push_back(json::object{{"role", "user"}, {"content", prompt}});
  auto text = conversation_text(model, talk, static_cast<std::int64_t>(seconds(system_clock().wall())));
  if (!text) return fail(text.error());
  return conversation_tokens(model, *text);
}

} // namespace

int generate(const generate_arguments& arguments) {
  const auto device = resolve(*engine_device_by_name(arguments.device)); // said before a model is read
  if (!device) return complain(device.error());
  auto loaded = load_model_argument(arguments.model);
  if (!loaded) return complain(loaded.error());
  const auto& model = *loaded;
  std::string prompt = arguments.prompt;
  if (prompt == "-") prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  auto context = context_of(model, arguments, prompt);
  if (!context) return complain(context.error());

  const int room = model.weights->config.max_position_embeddings - static_cast<int>(context->size());
  if (room < 1)
    return complain({errc::invalid, "the prompt has " + std::to_string(context->size()) + " tokens, " +
                                        model.name + " takes " +
                                        std::to_string(model.weights->config.max_position_embeddings) +
                                        " with what it generates"});
  generate_request request;
  request.sequence = 1;
  request.context = std::move(*context);
  request.max_new_tokens = std::min(arguments.max_tokens, room);
  request.stop = model.ends;
  request.sampling = model.sampling;
  if (arguments.temperature >= 0) request.sampling.temperature = arguments.temperature;
  if (arguments.top_p >= 0) request.sampling.top_p = arguments.top_p;
  if (arguments.top_k >= 0) request.sampling.top_k = arguments.top_k;
  if (arguments.min_p >= 0) request.sampling.min_p = arguments.min_p;
  if (arguments.repetition_penalty > 0) request.sampling.repetition_penalty = arguments.repetition_penalty;
  request.seed = arguments.seed >= 0 ? static_cast<std::uint64_t>(arguments.seed) : std::random_device{}();
  const auto seed = request.seed;
  const auto prompt_size = request.context.size();

  engine_limits limits;
  limits.max_sequences = 1;
  limits.max_kv_tokens = static_cast<std::int64_t>(prompt_size) + request.max_new_tokens + 64;
  limits.threads = arguments.threads > 0 ? arguments.threads : default_threads();
  limits.mode = arguments.mode == "fast" ? arithmetic::fast : arithmetic::exact;
  limits.device = *device;
  auto engine = make_engine(model.weights->config, limits);
  if (!engine) return complain(engine.error());
  try {
    (*engine)->set_weights(model.weights, 0, kv_policy::recompute);
  } catch (const std::exception& wrong) { // no numbers
    return complain({errc::invalid, arguments.model.string() + ": " + wrong.what()});
  }
  install_signals("\ntroupe: interrupted twice, ended at once\n");

  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const auto show = [&](const std::string& more) {
    if (arguments.json || more.empty()) return;
    std::cout << (terminal ? printable(more, true) : more) << std::flush;
  };
  text_limits shown;
  shown.shown = model.shown;
  for (const auto& stop : arguments.stop)
    if (!stop.empty()) shown.stop.push_back(stop);
  auto got = generate_text(**engine, model, std::move(request), std::move(shown), show);
  if (!got) return complain(got.error());

  const auto made = got->tokens.size();
  if (arguments.json) {
    std::cout << json::dump(json::object{{"text", got->text},
                                         {"tokens", json::array(got->tokens.begin(), got->tokens.end())},
                                         {"finish_reason", got->reason},
                                         {"prompt_tokens", prompt_size},
                                         {"completion_tokens", made},
                                         {"seed", seed},
                                         {"first_token_seconds", got->first},
                                         {"decode_seconds", got->rest}})
              << '\n';
  } else {
    std::cout << '\n' << std::flush;
    std::cerr << made << " tokens, " << rate(made > 0 ? static_cast<double>(made - 1) : 0, got->rest)
              << " tokens/s after the first; prompt of " << prompt_size << " tokens in "
              << fixed(got->first, 2) << " s; ended by " << got->reason << "; --seed " << seed
              << " gives this text again\n";
  }
  return got->reason == "interrupted" ? interrupted : ok;
}

} // namespace troupe::cli
