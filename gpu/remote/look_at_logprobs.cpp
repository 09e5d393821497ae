#include "gpu/remote/look_at_logprobs.hpp"

#include <cmath>
#include <cstdio>
#include <memory>

namespace troupe::remote {

namespace {

constexpr double rounding = 1e-3; ///< of bfloat16's logits, too, where a distribution is nearly flat

std::string text_of(double value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.4g", value);
  return out;
}

/// The likeliest of N tokens has a chance of 1 / N at least, and of 1 at most.
expected<void> are_logprobs(double likeliest, int vocabulary) {
  const double least = -std::log(static_cast<double>(vocabulary));
  if (likeliest <= rounding && likeliest >= least - 0.05) return {};
  return fail(errc::invalid, "found the logprob " + text_of(likeliest) + " of the likeliest of " +
                                 std::to_string(vocabulary) + " tokens, expected one from " + text_of(least) +
                                 " to 0 (logprobs, no logits)");
}

} // namespace

std::vector<control_step> look_at_logprobs(const server_dialect& speech, int vocabulary, double temperature,
                                           const std::string& model, const std::string& id) {
  std::vector<control_step> out;
  if (speech.when_tempered().empty()) return out;
  const auto before = std::make_shared<double>(0);
  out.push_back({speech.ask_likeliest(1, model, id + "look-1"), "looking at its logprobs",
                 control_step::kind::other, [&speech, vocabulary, before](const json::value& answer) {
                   const auto likeliest = speech.read_likeliest(answer);
                   if (!likeliest) return expected<void>(fail(likeliest.error()));
                   *before = likeliest->front();
                   return are_logprobs(*before, vocabulary);
                 }});
  if (temperature == 0 || temperature == 1) return out;
  out.push_back({speech.ask_likeliest(4, model, id + "look-4"), "looking at its logprobs",
                 control_step::kind::other,
                 [&speech, temperature, before](const json::value& answer) -> expected<void> {
                   const auto likeliest = speech.read_likeliest(answer);
                   if (!likeliest) return fail(likeliest.error());
                   if (std::abs(likeliest->front() - *before) > rounding) return {};
                   return fail(errc::invalid,
                               "found logprobs that are the same at every temperature, expected those of the "
                               "distribution that is sampled at rollout.temperature " +
                                   text_of(temperature) + ": " + std::string(speech.name()) + " begun " +
                                   std::string(speech.when_tempered()));
                 }});
  return out;
}

} // namespace troupe::remote
