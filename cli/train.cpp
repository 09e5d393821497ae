#include "cli/commands.hpp"
#include "cli/run_folder.hpp"
#include "cli/run_report.hpp"
#include "cli/session.hpp"
#include "cli/tables.hpp"

#include "actors/audit.hpp"
#include "actors/prepare.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/http.hpp"
#include "runtime/run_lock.hpp"
#include "runtime/telemetry.hpp"

#include <iostream>

namespace troupe::cli {

namespace fs = std::filesystem;

int code_for(const error& what) {
  switch (what.code) {
  case errc::invalid:
  case errc::not_found:
  case errc::conflict:
  case errc::version: return wrong_input;
  case errc::cancelled: return stopped;
  case errc::in_use: return busy;
  case errc::disk_full: return no_space;
  default: return failed;
  }
}

int complain(const error& what) {
  std::cerr << "troupe: " << what.message << '\n';
  return code_for(what);
}

namespace {

/// The folder to run in, locked, with its resolved configuration written.
struct opened {
  run_folder folder;
  run_config config;
  run_lock lock;
};

expected<opened> open_folder(const train_arguments& arguments) {
  auto config = load_config<run_config>(arguments.config, arguments.overrides);
  if (!config) return fail(config.error());
  run_folder folder;
  if (arguments.resume) {
    auto found = unfinished_folder(*config);
    if (!found) return fail(found.error());
    folder = *found;
    auto stored = folder.config();
    if (!stored) return fail(stored.error());
    if (auto differ = contradictions(*stored, *config); !differ.empty()) {
      std::string text = "the run in " + folder.path.string() + " was started with another configuration:";
      for (const auto& d : differ) text += "\n  " + d.key + ": found " + d.right + ", expected " + d.left;
      return fail(errc::conflict,
                  text + "\nresume it with these values, or start a new run without --resume");
    }
  } else {
    folder = free_folder(*config);
  }
  if (auto made = make_folders(folder.path); !made) return fail(made.error());
  auto lock = run_lock::take(folder.path);
  if (!lock) return fail(lock.error());
  config->run.name = folder.path.filename().string();
  if (auto ok = write_file_atomically(folder.path / "config.yaml", dump_yaml(*config)); !ok)
    return fail(ok.error());
  return opened{folder, std::move(*config), std::move(*lock)};
}

/// What can be known to fail before the first actor starts is said as one sentence, not as a tree that gives up.
expected<void> check_start(const opened& run) {
  const auto& control = run.config.control;
  if (control.enabled && control.port != 0) {
    http::server_options options;
    options.address = control.address;
    options.port = static_cast<std::uint16_t>(control.port);
    if (auto probe = http::server::start(options, {}); !probe) return fail(probe.error());
  }
  return check_resumable(run.folder.path, run.config);
}

} // namespace

int train(const train_arguments& arguments) {
  auto run = open_folder(arguments);
  if (!run) return complain(run.error());
  if (auto ok = check_start(*run); !ok) return complain(ok.error());
  install_signals();
  std::optional<event_writer> events;
  if (auto writer = event_writer::create(run->folder.path)) events = std::move(*writer);
  live_view view(std::cout, system_clock(), view_options(arguments.progress, run->config.run.name));
  session live(view, std::move(events));

  const auto& telemetry = run->config.telemetry;
  log_options log;
  log.file = run->folder.path / "run.log";
  log.level = telemetry.log_level == "debug"     ? log_level::debug
              : telemetry.log_level == "info"    ? log_level::info
              : telemetry.log_level == "warning" ? log_level::warning
                                                 : log_level::error;
  log.on_warning = [&live](std::string_view line) {
    live.push({{"kind", "message"}, {"level", "warning"}, {"text", line}});
  };
  if (auto ok = open_log(log); !ok) return complain(ok.error());
  if (telemetry.trace)
    if (auto ok = start_trace(run->folder.path / "trace.json", system_clock()); !ok)
      return complain(ok.error());

  auto ctx = prepare_run(run->config, {run->config.run.folder, cache_folder()},
                         [&](const json::object& record) { view.feed(record), view.tick(); });
  if (!ctx) {
    view.finish();
    return complain(ctx.error());
  }
  const auto before = thread_cpu();
  auto end = live.run(*ctx);
  const auto viewing = thread_cpu() - before;
  stop_trace();
  close_log();
  view.finish();
  const bool machine = arguments.progress == "json";
  if (!end) {
    if (end.error().code == errc::cancelled) {
      if (!machine)
        std::cout << "Stopped. Everything committed is kept. Go on with:\n  ./troupe train "
                  << arguments.config.string() <<
            [&] {
              std::string all;
              for (const auto& o : arguments.overrides) all += " " + o;
              return all;
            }() << " --resume\n";
      return stopped;
    }
    return complain(end.error());
  }
  auto report = write_report(run->folder, **ctx, live.last_balance());
  if (!report) return complain(report.error());
  if (machine) {
    // What this thread did besides feeding the view: the data, the tokenizer, the report.
    const auto beside = thread_cpu() - viewing;
    std::cout << json::dump(json::object{{"kind", "usage"},
                                         {"tool_calls", (*ctx)->tool_calls.value()},
                                         {"tool_cpu_seconds", (*ctx)->tool_cpu.value()},
                                         {"data_and_report_cpu_seconds", seconds(beside)}})
              << '\n';
    std::cout << json::dump(json::object{{"kind", "report"}, {"report", *report}}) << std::endl;
  } else
    std::cout << closing_summary(*report) << std::flush;
  return balance_holds(*report) ? ok : failed;
}

} // namespace troupe::cli
