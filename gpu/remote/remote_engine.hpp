#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/clock.hpp"
#include <filesystem>
#include <functional>
#include <map>

namespace troupe {

/// Where an engine in another process is, and what it is told.
struct remote_options {
  std::string url;                ///< http://host:port
  std::string key;                ///< for its API and its control routes; empty: none is sent
  std::string dialect = "troupe"; ///< the kind of server: what check_remote_server found
  std::string model;              ///< the name by which it is served
  bool of_transformers = true;    ///< the model is one that transformers computes, and so others than Troupe
  double temperature = 1;         ///< of the turns that will be asked for, beside greedy ones and those at 1
  int vocabulary = 0;
  std::int64_t context = 0; ///< tokens of prompt and turn at most
  int max_open = 64;        ///< requests at once; more wait here, by priority
  /// Weights are written below it, each of their versions in a folder that the server reads by the same path. Nothing else is in it.
  std::filesystem::path weights;
  std::map<std::string, std::string> companions;         ///< further files of such a folder: tokenizer.json
  std::uint64_t nonce = 0;                               ///< another one in every process
  duration answer_deadline = std::chrono::seconds(180);  ///< of a turn
  duration control_deadline = std::chrono::seconds(300); ///< of an update of the weights
  duration first_pause = std::chrono::milliseconds(100), longest_pause = std::chrono::seconds(5);
  const clock* time = &system_clock();
  /// Hears when the server is away (and why), and when it is there (again) with the weights of this run. May be empty.
  std::function<void(bool away, const std::string& why)> on_change;
};

/// Generation by a server of another process: `troupe serve`, vLLM or SGLang (gpu/remote/server_dialect.hpp), one completion a turn, by token
/// ids. Weights go to it as a folder that it reads.
///
/// | backpressure | waits for                               | unblocked by                     |
/// | a turn       | the server to have this run's weights   | its answers to the control routes |
/// |              | one of max_open places                  | an answer, a cancellation        |
/// |              | a server that is away or busy           | its being back; it is asked after a pause that doubles |
/// | an update of a fenced server | the open turns          | their answers or deadlines; no other turn begins meanwhile |
///
///   REM-1  Every turn that was submitted comes out once (ENG-3), whatever becomes of the server: what had no answer is asked for again, with
///          the same context and seed.
///   REM-2  A token comes out only if weights of this run sampled it, and with their version: each update has a label that no other weights of the
///          server can have, and the server says of each token under which label it was sampled. An answer with another label (the server
///          began anew, or somebody else gave it weights) is thrown away, and the weights are sent again first.
///   REM-3  A turn begins with the newest weights that were set; ones that run meanwhile go on with them. Where weights go back to an older version,
///          turns in progress begin anew.
///   REM-4  What it cannot mend ends it with one sentence: a refusal (wrong key, wrong shape), an answer without token ids, logprobs or labels,
///          an update that fails again and again on a server that answers.
///   REM-5  A server that it paused is resumed, also at its own end, if the server can be reached within a second.
///   REM-6  A fenced server (vLLM, SGLang) is updated only while none of its turns is open: all tokens of a turn are of the version that was loaded
///          when it was asked for; an answer that says otherwise falls under REM-2. An update counts when every one of its calls was answered
///          well; after one that broke off the weights get another label and are sent again, whatever the server says that it has.
///   REM-7  Logprobs are those of the distribution that was sampled from: a server whose logprobs do not follow the temperature is refused where
///          the run samples at another one than 0 and 1, also when it comes back as another one.
/// `step` waits up to some milliseconds for the server and throws for REM-4 and REM-7. Likeliest tokens and logprobs of the prompt are refused; of
/// vLLM and SGLang all sampling but by temperature.
std::unique_ptr<engine_core> make_remote_engine(remote_options options);

} // namespace troupe
