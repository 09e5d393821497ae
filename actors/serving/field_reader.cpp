#include "actors/serving/field_reader.hpp"

namespace troupe::serving {

namespace {

std::string shown(const json::value& value) {
  auto text = json::dump(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

std::string plain(double number) {
  if (number == static_cast<double>(static_cast<std::int64_t>(number)))
    return std::to_string(static_cast<std::int64_t>(number));
  return json::dump(json::value(number));
}

} // namespace

const json::value* field_reader::find(std::string_view key) const {
  const auto* it = from_.if_contains(key);
  return it && !it->is_null() ? it : nullptr;
}

void field_reader::fail(api_error why) {
  if (!error_) error_ = std::move(why);
}

void field_reader::wrong(std::string_view key, const std::string& expected) {
  const auto* it = find(key);
  fail({400, std::string(key) + ": found " + (it ? shown(*it) : "nothing") + ", expected " + expected,
        std::string(key), "invalid_value"});
}

bool field_reader::boolean(std::string_view key, bool absent) {
  const auto* it = find(key);
  if (!it) return absent;
  if (const auto* b = it->if_bool()) return *b;
  wrong(key, "true or false");
  return absent;
}

std::int64_t field_reader::integer(std::string_view key, std::int64_t absent, std::int64_t least,
                                   std::int64_t most) {
  const auto* it = find(key);
  if (!it) return absent;
  std::optional<std::int64_t> found;
  if (const auto* n = it->if_int64()) found = *n;
  if (const auto* d = it->if_double();
      d && *d >= -9e15 && *d <= 9e15 && *d == static_cast<double>(static_cast<std::int64_t>(*d)))
    found = static_cast<std::int64_t>(*d);
  if (found && *found >= least && *found <= most) return *found;
  wrong(key, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return absent;
}

double field_reader::number(std::string_view key, double absent, double least, double most) {
  const auto* it = find(key);
  if (!it) return absent;
  if (it->is_number()) {
    const auto found = it->is_double()  ? it->get_double()
                       : it->is_int64() ? static_cast<double>(it->get_int64())
                                        : static_cast<double>(it->get_uint64());
    if (found >= least && found <= most) return found;
  }
  wrong(key, "a number from " + plain(least) + " to " + plain(most));
  return absent;
}

std::string field_reader::text(std::string_view key, std::string absent) {
  const auto* it = find(key);
  if (!it) return absent;
  if (const auto* s = it->if_string()) return std::string(*s);
  wrong(key, "a string");
  return absent;
}

const json::array* field_reader::list(std::string_view key) {
  const auto* it = find(key);
  if (it && !it->is_array()) wrong(key, "an array");
  return it ? it->if_array() : nullptr;
}

const json::object* field_reader::map(std::string_view key) {
  const auto* it = find(key);
  if (it && !it->is_object()) wrong(key, "an object");
  return it ? it->if_object() : nullptr;
}

void field_reader::unsupported(std::string_view key, std::string_view why) {
  const auto* it = find(key);
  if (!it) return;
  const bool nothing =
      (it->is_bool() && !it->get_bool()) || (it->is_number() && it->to_number<double>() == 0) ||
      (it->is_object() && it->get_object().empty()) || (it->is_array() && it->get_array().empty()) ||
      (it->is_string() && it->get_string().empty());
  if (!nothing)
    fail({400, std::string(key) + " is not supported: " + std::string(why), std::string(key),
          "unsupported_parameter"});
}

} // namespace troupe::serving
