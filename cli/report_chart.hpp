#pragma once

#include <string>
#include <vector>

namespace troupe {

/// One line of a chart. Points that are not finite leave a gap.
struct chart_series {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> low, high; ///< a band around the line (an interval); empty: none
  bool points = false;           ///< a dot on every point
};

struct chart {
  std::string title;   ///< said to screen readers and shown above the picture
  std::string caption; ///< what is drawn, in one sentence
  std::string x_label = "RL step";
  std::vector<chart_series> series; ///< at most four; the legend is drawn for two or more
  bool share = false;               ///< the y axis is 0 to 1, as percent
  bool from_zero = true;            ///< the y axis starts at 0
  bool logarithmic = false;         ///< powers of ten; values of 0 are left out
  double width = 460, height = 240; ///< of the picture's own coordinates; the text is 12 high
};

/// The numbers at which an axis from `low` to `high` is marked: about `wanted`, of the form {1, 2, 5} * 10^n.
std::vector<double> axis_marks(double low, double high, int wanted);

/// An SVG element for an HTML page that defines the colours --ink, --muted, --grid, --series-1 to --series-4.
/// `id` is unique on the page. A chart without a finite point says so.
std::string draw_chart(const chart& what, const std::string& id);

/// A whole SVG file with its own background and colours for light and dark.
std::string standalone_chart(const chart& what);

} // namespace troupe
