#include "cli/report_chart.hpp"

#include "cli/report_page.hpp"
#include "cli/terminal_text.hpp"
#include <algorithm>
#include <array>
#include <cmath>

namespace troupe {

namespace {

constexpr double left = 56, right = 20, bottom = 42;

std::string px(double value) {
  std::string out = fixed(value, 1);
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out == "-0" ? "0" : out;
}

std::string mark_text(double value, bool share) {
  if (share) return fixed(100 * value, 0) + " %";
  const double size = std::abs(value);
  if (value == 0) return "0";
  if (size >= 10'000 || size == std::round(size)) return grouped(value);
  if (size < 0.001) return scientific(value);
  std::string out = fixed(value, 4);
  while (out.ends_with('0')) out.pop_back();
  return out;
}

/// From numbers to places on the picture.
struct scales {
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1;
  double width = 0, height = 0;
  double top = 14; ///< the legend stands above the plot
  bool logarithmic = false;
  double across(double x) const { return left + (x - x0) / (x1 - x0) * (width - left - right); }
  double down(double y) const {
    const double at = logarithmic ? (std::log10(y) - std::log10(y0)) / (std::log10(y1) - std::log10(y0))
                                  : (y - y0) / (y1 - y0);
    return height - bottom - std::clamp(at, 0.0, 1.0) * (height - top - bottom);
  }
};

bool shown(const chart& what, double x, double y) {
  return std::isfinite(x) && std::isfinite(y) && (!what.logarithmic || y > 0);
}

/// False if nothing can be drawn.
bool fit(const chart& what, scales& out) {
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
  for (const auto& line : what.series)
    for (std::size_t i = 0; i < line.y.size() && i < line.x.size(); ++i) {
      if (!shown(what, line.x[i], line.y[i])) continue;
      x0 = std::min(x0, line.x[i]), x1 = std::max(x1, line.x[i]);
      y0 = std::min(y0, line.y[i]), y1 = std::max(y1, line.y[i]);
      if (i < line.low.size() && std::isfinite(line.low[i])) y0 = std::min(y0, line.low[i]);
      if (i < line.high.size() && std::isfinite(line.high[i])) y1 = std::max(y1, line.high[i]);
    }
  if (x0 > x1) return false;
  out.logarithmic = what.logarithmic;
  out.width = what.width, out.height = what.height;
  if (what.series.size() > 1) out.top = 34;
  if (x0 == x1) x0 -= 1, x1 += 1;
  if (what.logarithmic) {
    y0 = std::pow(10, std::floor(std::log10(y0))), y1 = std::pow(10, std::ceil(std::log10(y1)));
    if (y0 == y1) y1 *= 10;
  } else if (what.share) {
    y0 = 0, y1 = 1;
  } else {
    if (what.from_zero) y0 = std::min(0.0, y0), y1 = std::max(0.0, y1);
    if (y0 == y1) y1 += 1;
    const auto marks = axis_marks(y0, y1, 5);
    const double step = marks.size() > 1 ? marks[1] - marks[0] : y1 - y0;
    y0 = std::floor(y0 / step + 1e-9) * step, y1 = std::ceil(y1 / step - 1e-9) * step;
  }
  out.x0 = x0, out.x1 = x1, out.y0 = y0, out.y1 = y1;
  return true;
}

std::string axes(const chart& what, const scales& at) {
  std::string out;
  std::vector<double> marks;
  if (what.logarithmic)
    for (double y = at.y0; y <= at.y1 * 1.01; y *= 10) marks.push_back(y);
  else
    marks = axis_marks(at.y0, at.y1, 5);
  for (const double y : marks) {
    const auto place = px(at.down(y));
    out += "<line class=\"grid\" x1=\"" + px(left) + "\" x2=\"" + px(what.width - right) + "\" y1=\"" +
           place + "\" y2=\"" + place + "\"/><text class=\"mark\" text-anchor=\"end\" x=\"" + px(left - 8) +
           "\" y=\"" + px(at.down(y) + 4) + "\">" +
           (what.logarithmic ? "1e" + fixed(std::log10(y), 0) : mark_text(y, what.share)) + "</text>";
  }
  for (const double x : axis_marks(at.x0, at.x1, 7))
    out += "<text class=\"mark\" text-anchor=\"middle\" x=\"" + px(at.across(x)) + "\" y=\"" +
           px(what.height - bottom + 18) + "\">" + mark_text(x, false) + "</text>";
  return out + "<text class=\"mark\" text-anchor=\"middle\" x=\"" + px((left + what.width - right) / 2) +
         "\" y=\"" + px(what.height - 6) + "\">" + escape_html(what.x_label) + "</text>";
}

/// The parts of a line between its gaps, as "x,y x,y".
std::vector<std::string> unbroken(const chart& what, const chart_series& line, const scales& at) {
  std::vector<std::string> out;
  bool open = false;
  for (std::size_t i = 0; i < line.y.size() && i < line.x.size(); ++i) {
    if (!shown(what, line.x[i], line.y[i])) {
      open = false;
      continue;
    }
    if (!open) out.emplace_back();
    out.back() += (open ? " " : "") + px(at.across(line.x[i])) + "," + px(at.down(line.y[i]));
    open = true;
  }
  return out;
}

std::string band(const chart& what, const chart_series& line, const scales& at, const std::string& color) {
  std::string there, back;
  for (std::size_t i = 0; i < line.x.size() && i < line.low.size() && i < line.high.size(); ++i) {
    if (!shown(what, line.x[i], line.low[i]) || !shown(what, line.x[i], line.high[i])) continue;
    const auto x = px(at.across(line.x[i]));
    there += (there.empty() ? "" : " ") + x + "," + px(at.down(line.high[i]));
    back = " " + x + "," + px(at.down(line.low[i])) + back;
  }
  return there.empty() ? "" : "<polygon class=\"band " + color + "\" points=\"" + there + back + "\"/>";
}

std::string draw_series(const chart& what, const scales& at) {
  std::string bands, lines, dots;
  for (std::size_t s = 0; s < what.series.size(); ++s) {
    const auto& line = what.series[s];
    const std::string color = "s" + std::to_string(s % 4 + 1);
    bands += band(what, line, at, color);
    for (const auto& points : unbroken(what, line, at))
      lines += "<polyline class=\"line " + color + "\" points=\"" + points + "\"/>";
    for (std::size_t i = 0; i < line.y.size() && i < line.x.size(); ++i) {
      if (!shown(what, line.x[i], line.y[i])) continue;
      const auto said = line.name + ", " + what.x_label + " " + mark_text(line.x[i], false) + ": " +
                        (what.share ? percent(line.y[i]) : mark_text(line.y[i], false));
      dots += "<circle class=\"" + std::string(line.points ? "dot " : "spot ") + color + "\" cx=\"" +
              px(at.across(line.x[i])) + "\" cy=\"" + px(at.down(line.y[i])) + "\" r=\"" +
              (line.points ? "3.5" : "6") + "\"><title>" + escape_html(said) + "</title></circle>";
    }
  }
  return bands + lines + dots;
}

/// Above the plot: a line of the color and a name each.
std::string legend(const chart& what) {
  if (what.series.size() < 2) return {};
  std::string out;
  double x = left + 8;
  for (std::size_t s = 0; s < what.series.size(); ++s) {
    const auto& name = what.series[s].name;
    out += "<line class=\"line s" + std::to_string(s % 4 + 1) + "\" x1=\"" + px(x) + "\" x2=\"" + px(x + 18) +
           "\" y1=\"" + px(12) + "\" y2=\"" + px(12) + "\"/><text class=\"mark\" x=\"" + px(x + 24) +
           "\" y=\"" + px(16) + "\">" + escape_html(name) + "</text>";
    x += 44 + 7.2 * static_cast<double>(display_width(name));
  }
  return out;
}

std::string described(const chart& what) {
  std::string out = what.caption;
  for (const auto& line : what.series) {
    if (line.y.empty()) continue;
    const auto say = [&](double y) { return what.share ? percent(y) : mark_text(y, false); };
    out += " " + line.name + ": from " + say(line.y.front()) + " to " + say(line.y.back()) + ".";
  }
  return out;
}

std::string picture(const chart& what, const std::string& id, const std::string& attributes,
                    const std::string& style) {
  scales at;
  const bool drawable = fit(what, at);
  std::string out = "<svg " + attributes + "viewBox=\"0 0 " + px(what.width) + " " + px(what.height) +
                    "\" role=\"img\" aria-labelledby=\"" + id + "-t " + id + "-d\"><title id=\"" + id +
                    "-t\">" + escape_html(what.title) + "</title><desc id=\"" + id + "-d\">" +
                    escape_html(described(what)) + "</desc>" + style;
  if (!drawable)
    return out + "<text class=\"mark\" text-anchor=\"middle\" x=\"" + px(what.width / 2) + "\" y=\"" +
           px(what.height / 2) + "\">not measured in this run</text></svg>";
  return out + axes(what, at) + draw_series(what, at) + legend(what) + "</svg>";
}

} // namespace

std::vector<double> axis_marks(double low, double high, int wanted) {
  if (!(high > low) || wanted < 1) return {low};
  const double rough = (high - low) / wanted, power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * 0.999) {
      step = factor * power;
      break;
    }
  std::vector<double> out;
  for (auto n = std::llround(std::ceil(low / step - 1e-9));
       static_cast<double>(n) * step <= high + 1e-9 * step; ++n)
    out.push_back(static_cast<double>(n) * step);
  return out;
}

std::string draw_chart(const chart& what, const std::string& id) { return picture(what, id, "", ""); }

std::string standalone_chart(const chart& what) {
  const std::string style =
      "<style>svg{background:#ffffff;--muted:#5f6570;--grid:#e3e6ea;--series-1:#1f6fb2;--series-2:#b4530a;"
      "--series-3:#2a7f4f;--series-4:#7a4fa3}@media(prefers-color-scheme:dark){svg{background:#15181d;--"
      "muted:#a3abb8;"
      "--grid:#2c323b;--series-1:#6db3f2;--series-2:#f0a35e;--series-3:#6cc792;--series-4:#c39be8}}"
      "text{font:12px system-ui,sans-serif;fill:var(--muted)}.grid{stroke:var(--grid)}"
      ".line{fill:none;stroke-width:2.5;stroke-linejoin:round}.band{fill-opacity:.16;stroke:none}.dot{stroke:"
      "none}"
      ".spot{fill:transparent}.line.s1{stroke:var(--series-1)}.line.s2{stroke:var(--series-2)}"
      ".line.s3{stroke:var(--series-3)}.line.s4{stroke:var(--series-4)}.band.s1,.dot.s1{fill:var(--series-1)}"
      ".band.s2,.dot.s2{fill:var(--series-2)}.band.s3,.dot.s3{fill:var(--series-3)}"
      ".band.s4,.dot.s4{fill:var(--series-4)}</style>";
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" +
         picture(what, "chart",
                 "xmlns=\"http://www.w3.org/2000/svg\" width=\"" + px(what.width) + "\" height=\"" +
                     px(what.height) + "\" ",
                 style) +
         "\n";
}

} // namespace troupe
