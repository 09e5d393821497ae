#pragma once

#include "actors/serving/api_error.hpp"

namespace troupe::serving {

/// Reads fields of a request's object. An absent field, or null, has the value that is given; the first field that is wrong is kept
/// as the error, and reading goes on, so that a parser reads as a list of fields.
class field_reader {
public:
  explicit field_reader(const json::object& from) : from_(from) {}

  const json::value* find(std::string_view key) const; ///< nullptr: absent or null
  bool boolean(std::string_view key, bool absent = false);
  std::int64_t integer(std::string_view key, std::int64_t absent, std::int64_t least, std::int64_t most);
  double number(std::string_view key, double absent, double least, double most);
  std::string text(std::string_view key, std::string absent = {});
  const json::array* list(std::string_view key); ///< nullptr: absent
  const json::object* map(std::string_view key); ///< nullptr: absent
  /// A field that is refused unless it is absent or as good as that (false, 0, 1 for a factor, empty).
  void unsupported(std::string_view key, std::string_view why);

  void wrong(std::string_view key, const std::string& expected);
  void fail(api_error why);
  const std::optional<api_error>& error() const { return error_; }

private:
  const json::object& from_;
  std::optional<api_error> error_;
};

} // namespace troupe::serving
