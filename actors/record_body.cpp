#include "actors/record_body.hpp"

namespace troupe {

expected<json::object> body_of(const record& r) {
  auto parsed = json::parse(r.body);
  if (!parsed || !parsed->is_object())
    return fail(errc::corrupt,
                "record " + r.key + " (seq " + std::to_string(r.seq) + ") is not a JSON object");
  return std::move(parsed->get_object());
}

} // namespace troupe
