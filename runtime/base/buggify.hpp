#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

namespace troupe {

/// Rare paths, after FoundationDB: a simulation makes them happen by seed and counts which were reached. Outside of a simulation each
/// point is one test of a null pointer.
///
///   if (buggify<"judge: it fails">()) return fail(...);  // misbehaves, in some runs, now and then
///   probe<"learner: a rollback">();                      // says that this path was taken
class rare_points {
public:
  virtual ~rare_points() = default;
  virtual bool fires(std::string_view point) = 0;
  virtual void reached(std::string_view point) = 0;
};

/// Who decides in this thread; null: nobody, nothing fires.
inline rare_points*& points_of_thread() {
  static thread_local rare_points* it = nullptr;
  return it;
}

/// Every point in the program, reached or not.
inline std::vector<std::string_view>& all_points() {
  static std::vector<std::string_view> it;
  return it;
}

namespace detail {
template <std::size_t N>
struct point_name {
  char text[N];
  consteval point_name(const char (&name)[N]) { std::copy_n(name, N, text); }
  constexpr std::string_view view() const { return {text, N - 1}; }
};
inline bool note_point(std::string_view name) {
  all_points().push_back(name);
  return true;
}
template <point_name Name>
struct point {
  static constexpr point_name name = Name; // the text that all_points() refers to
  static inline const bool known = note_point(name.view());
};
} // namespace detail

/// True now and then, in the runs of a simulation that have this point on.
template <detail::point_name Name>
bool buggify() {
  [[maybe_unused]] const bool* known = &detail::point<Name>::known; // makes it known before main
  auto* points = points_of_thread();
  if (!points || !points->fires(Name.view())) return false;
  points->reached(Name.view());
  return true;
}

/// This path was taken.
template <detail::point_name Name>
void probe() {
  [[maybe_unused]] const bool* known = &detail::point<Name>::known;
  if (auto* points = points_of_thread()) points->reached(Name.view());
}

} // namespace troupe
