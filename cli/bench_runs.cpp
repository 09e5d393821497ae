#include "cli/bench_runs.hpp"

#include "cli/report_values.hpp"

#include <cmath>
#include <cstdio>
#include <iostream>

namespace troupe::cli {

std::string fixed(double x, int digits) {
  if (std::isnan(x)) return "–";
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, x);
  return text;
}

namespace {

std::vector<std::string> train_words(const bench_arguments& arguments, const std::string& name,
                                     std::vector<std::string> more) {
  std::vector<std::string> words{"train",
                                 arguments.config.string(),
                                 "--progress",
                                 "json",
                                 "run.name=" + name,
                                 "run.folder=" + arguments.folder.string(),
                                 "control.enabled=false"};
  words.insert(words.end(), more.begin(), more.end());
  words.insert(words.end(), arguments.overrides.begin(), arguments.overrides.end());
  return words;
}

} // namespace

expected<child_result> train_child(const bench_arguments& arguments, const std::string& name,
                                   std::vector<std::string> more,
                                   const std::function<void(const json::object&)>& heard) {
  auto done = run_child(train_words(arguments, name, std::move(more)), [&](const json::object& record) {
    if (heard) heard(record);
    const auto kind = values::text(record, "kind");
    if (kind == "step" || kind == "warmup")
      std::cerr << "\r" << name << ": " << kind << " " << values::number(record, "step") << "/"
                << values::number(record, "steps") << "   ";
  });
  std::cerr << '\n';
  if (done && done->exit_code != 0)
    return fail(errc::internal, name + " ended with exit code " + std::to_string(done->exit_code));
  return done;
}

} // namespace troupe::cli
