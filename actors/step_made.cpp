#include "actors/step_made.hpp"

namespace troupe {

json::object to_json(const step_made& made) {
  return {{"format", made.format},   {"before", made.before},
          {"after", made.after},     {"learning_rate", made.learning_rate},
          {"threads", made.threads}, {"machine", made.machine}};
}

expected<step_made> made_in(const json::object& consumption) {
  const auto* there = consumption.if_contains("made");
  const auto* from = there ? there->if_object() : nullptr;
  if (!from)
    return fail(errc::version,
                "its steps do not say which weights they made: it was recorded by a version of Troupe "
                "without replay, expected recording format " +
                    std::to_string(step_made::current_format));
  step_made out;
  auto format = json::int_at(*from, "format");
  if (!format) return fail(format.error());
  if (*format != step_made::current_format)
    return fail(errc::version, "it has recording format " + std::to_string(*format) + ", expected " +
                                   std::to_string(step_made::current_format));
  auto before = json::string_at(*from, "before"), after = json::string_at(*from, "after"),
       machine = json::string_at(*from, "machine");
  auto rate = json::number_at(*from, "learning_rate");
  auto threads = json::int_at(*from, "threads");
  if (!before) return fail(before.error());
  if (!after) return fail(after.error());
  if (!machine) return fail(machine.error());
  if (!rate) return fail(rate.error());
  if (!threads) return fail(threads.error());
  out.before = std::move(*before);
  out.after = std::move(*after);
  out.machine = std::move(*machine);
  out.learning_rate = *rate;
  out.threads = *threads;
  return out;
}

} // namespace troupe
