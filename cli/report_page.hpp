#pragma once

#include "runtime/base/json.hpp"
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// report.html: one file that needs nothing else. The report (of `summarize`), curves drawn from the records, the before/after
/// table, transcripts, the balance of rollouts, and the resolved config.
///
///   REP-1  No request leaves the page, and nothing in it runs: a content security policy forbids both, there is no script.
///   REP-2  Every text that comes from outside (documents, answers, config, names) is escaped.
///   REP-3  Light and dark by the reader's setting; every picture has a title and a description; tables have heads.
/// Pure: the same arguments give the same bytes.
std::string build_report(const json::object& report, const std::vector<json::object>& records,
                         std::string_view config_yaml = {});

/// The main curve alone, as a standalone SVG picture for a README: held-out pass@1 with its 95 % interval over RL steps.
std::string main_curve_svg(const json::object& report);

/// "&", "<", ">", quotes and apostrophes as entities; control characters and bytes that are not UTF-8 as "·"; line breaks and
/// tabs stay. Safe as text and inside of a quoted attribute.
std::string escape_html(std::string_view text);

} // namespace troupe
