#pragma once

#include "runtime/base/error.hpp"
#include <filesystem>
#include <string>
#include <vector>

/// One function per verb of `troupe`. Each prints what it has to say and returns the exit code:
///   0 done; 1 failed; 2 wrong use or input; 3 the run was stopped and can be resumed; 4 in use by another process;
///   5 disk full; 130 interrupted twice.
namespace troupe::cli {

enum exit_code : int {
  ok = 0,
  failed = 1,
  wrong_input = 2,
  stopped = 3,
  busy = 4,
  no_space = 5,
  interrupted = 130
};

/// The exit code that fits an error.
int code_for(const error& what);
/// "troupe: no such run: x" on stderr; gives the exit code.
int complain(const error& what);

struct train_arguments {
  std::filesystem::path config;
  std::vector<std::string> overrides;
  bool resume = false;
  std::string progress = "auto"; ///< auto | terminal | lines | json
};
int train(const train_arguments& arguments);

struct inspect_arguments {
  std::filesystem::path run;
  std::string rollout; ///< empty: list
  std::string only;    ///< "", "train", "eval"
  int limit = 50;
  bool json = false;
};
int inspect(const inspect_arguments& arguments);

struct audit_arguments {
  std::filesystem::path run;
  bool json = false;
};
/// `ok` only if the books balance and everything verifies.
int audit(const audit_arguments& arguments);

struct report_arguments {
  std::filesystem::path run;
  std::filesystem::path curve; ///< where to write the held-out curve as SVG; empty: nowhere
  bool json = false;
};
int report(const report_arguments& arguments);

struct fault_report_arguments {
  std::filesystem::path run;
  bool json = false;
};
/// What was injected into a run, when it was noticed, when service was restored.
int fault_report(const fault_report_arguments& arguments);

/// Rules of faults of a run in progress, through its REST server.
struct fault_client_arguments {
  std::filesystem::path run;
  std::vector<std::string> rules; ///< to add; or the numbers of those to remove
  bool json = false;
};
int fault_add(const fault_client_arguments& arguments);
int fault_list(const fault_client_arguments& arguments);
int fault_remove(const fault_client_arguments& arguments);

struct eval_arguments {
  std::filesystem::path run;
  std::filesystem::path tasks; ///< empty: the run's held-out ones
  int questions = 0;           ///< 0: all
  int samples = 4;
  std::string progress = "auto";
  bool json = false;
};
int eval(const eval_arguments& arguments);

struct explain_arguments {
  std::string prefix;
  bool json = false, markdown = false;
  std::filesystem::path config; ///< empty: defaults
  std::vector<std::string> overrides;
};
int explain_config(const explain_arguments& arguments);

struct bench_arguments {
  std::string name; ///< quickstart | async | partial | soak | overhead | startup | learner
  std::filesystem::path config = "configs/quickstart.yaml";
  std::filesystem::path folder = "runs/bench";
  std::vector<std::string> overrides;
  int seeds = 3;
  int steps = 10;       ///< of the short ones
  double minutes = 0;   ///< of soak: RL time of each run; 0: by steps
  double latency = 0.1; ///< median tool time, seconds
};
int bench(const bench_arguments& arguments);

struct sim_arguments {
  std::string world;
  std::string seeds = "0..99"; ///< "A..B", both included, or one number
  std::filesystem::path worlds = "configs/worlds";
  std::string plant; ///< a bug on purpose; empty: none
  int threads = 1;
  bool list = false, trace = false, json = false;
};
int sim(const sim_arguments& arguments);

struct generate_arguments {
  std::filesystem::path model;
  std::string prompt; ///< "-": standard input
  std::string system;
  std::vector<std::string> stop;
  bool raw = false, json = false;
  int max_tokens = 512;
  long long seed = -1;                                                      ///< -1: another one each time
  double temperature = -1, top_p = -1, min_p = -1, repetition_penalty = -1; ///< -1: the model's own
  int top_k = -1;
  int threads = 0; ///< 0: one for each core
  std::string mode = "exact", device = "cpu";
};
/// Streams the text that a model generates.
int generate(const generate_arguments& arguments);

struct serve_arguments {
  std::filesystem::path model;
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string api_key, admin_key; ///< empty: $TROUPE_API_KEY, $TROUPE_ADMIN_KEY, or none
  std::vector<std::string> served_model_name;
  std::string tool_call_parser = "auto";
  std::string mode = "exact", device = "cpu";
  int max_model_len = 0; ///< 0: the model's
  int max_num_seqs = 64;
  long long kv_cache_tokens = 0; ///< 0: what fits
  int prefill_chunk = 256, threads = 0, max_queue = 10000;
  double request_timeout = 600; ///< seconds
  long long stream_buffer = 1 << 20;
  long long seed = -1;
  std::string version; ///< of the program
};
/// Serves a model by OpenAI's API until a signal.
int serve(const serve_arguments& arguments);

struct model_info_arguments {
  std::filesystem::path model;
  bool json = false;
};
/// Says what a model is: its architecture, sizes, memory, tokenizer, template.
int model_info(const model_info_arguments& arguments);

struct model_convert_arguments {
  std::filesystem::path from, to;
  std::string dtype = "float32"; ///< or bf16
};
/// Writes a model as a folder that transformers loads.
int model_convert(const model_convert_arguments& arguments);

int doctor(bool json);

} // namespace troupe::cli
