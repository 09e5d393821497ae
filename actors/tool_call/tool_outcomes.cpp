#include "actors/tool_call/tool_outcomes.hpp"

#include "tools/utf8.hpp"

namespace troupe::tool_outcomes {

bool of_the_moment(const observation& what) {
  if (what.text == repaired_utf8(std::string(injected_garbage)) || what.text == injected_shape) return true;
  if (what.text.find(over_budget) != std::string::npos) return true;
  return what.failed && (what.text == failed_always || what.text == not_started || what.text == no_answer ||
                         what.text == injected_failure);
}

} // namespace troupe::tool_outcomes
