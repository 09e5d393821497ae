#include "cli/commands.hpp"

#include "cli/report_values.hpp"
#include "cli/run_folder.hpp"
#include "cli/tables.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/http.hpp"

#include <iostream>

namespace troupe::cli {

namespace {

/// Where a run in progress is controlled: the address of its faults. Errors: not_found, unavailable.
expected<std::string> faults_of(const std::filesystem::path& run) {
  const run_folder folder{run};
  auto config = folder.config();
  if (!config) return fail(config.error());
  auto text = read_file(run / "control.json");
  if (!text)
    return fail(errc::not_found,
                "the run in " + run.string() +
                    " has no control server (expected control.json there; control.enabled=true)");
  auto where = json::parse(*text);
  auto url = where && where->is_object() ? json::string_at(where->get_object(), "url")
                                         : fail(errc::corrupt, "no object");
  if (!url) return fail(errc::corrupt, (run / "control.json").string() + ": expected {\"url\": ...}");
  return *url + "/v1/experiments/" + config->run.name + "/faults";
}

/// One request; nobody there is a run that is not in progress.
expected<json::value> talk(const fault_client_arguments& arguments, const std::string& verb,
                           const std::string& below, const json::value* body = nullptr) {
  auto url = faults_of(arguments.run);
  if (!url) return fail(url.error());
  auto answer = http::fetch_json(verb, *url + below, body);
  if (!answer && answer.error().code == errc::unavailable)
    return fail(errc::not_found,
                "the run in " + arguments.run.string() + " is not in progress: nobody answers at " + *url);
  return answer;
}

} // namespace

int fault_add(const fault_client_arguments& arguments) {
  const json::value body =
      json::object{{"rules", json::array(arguments.rules.begin(), arguments.rules.end())}};
  auto answer = talk(arguments, "POST", "", &body);
  if (!answer) return complain(answer.error());
  for (const auto& one : answer->as_object().at("added").as_array())
    std::cout << json::dump(one.as_object().at("number")) << "  " << values::text(one.as_object(), "rule")
              << '\n';
  return ok;
}

int fault_list(const fault_client_arguments& arguments) {
  auto answer = talk(arguments, "GET", "");
  if (!answer) return complain(answer.error());
  if (arguments.json) {
    std::cout << json::dump(*answer) << '\n';
    return ok;
  }
  table_rows rows{{"number", "rule", "strikes"}};
  for (const auto& one : answer->as_object().at("faults").as_array()) {
    const auto& it = one.as_object();
    rows.push_back({json::dump(it.at("number")), values::text(it, "rule"), json::dump(it.at("strikes"))});
  }
  std::cout << render_table(rows);
  return ok;
}

int fault_remove(const fault_client_arguments& arguments) {
  for (const auto& number : arguments.rules) {
    auto answer = talk(arguments, "DELETE", "/" + number);
    if (!answer) return complain(answer.error());
  }
  return ok;
}

} // namespace troupe::cli
