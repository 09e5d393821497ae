#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/clock.hpp"
#include <filesystem>
#include <functional>
#include <map>

namespace troupe {

/// Where an engine in another process is, and what it is told.
struct remote_options {
  std::string url;   ///< http://host:port
  std::string key;   ///< for its API and its control routes; empty: none is sent
  std::string model; ///< the name by which it is served
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

/// Generation by a server that speaks OpenAI's API (gpu/remote/server_dialect.hpp): one completion a turn, by token ids. Weights go to it as a
/// folder that it reads, while what it runs is frozen.
///
/// | backpressure | waits for                               | unblocked by                     |
/// | a turn       | the server to have this run's weights   | its answers to the control routes |
/// |              | one of max_open places                  | an answer, a cancellation        |
/// |              | a server that is away or busy           | its being back; it is asked after a pause that doubles |
///
///   REM-1  Every turn that was submitted comes out once (ENG-3), whatever becomes of the server: what had no answer is asked for again, with
///          the same context and seed.
///   REM-2  A token comes out only if weights of this run sampled it, and with their version: each update has a label that no other weights of the
///          server can have, and the server says of each token under which label it was sampled. An answer with another label (the server
///          began anew, or somebody else gave it weights) is thrown away, and the weights are sent again first.
///   REM-3  A turn begins with the newest weights that were set; ones that run meanwhile go on with them. Where weights go back to an older version,
///          turns in progress begin anew.
///   REM-4  What it cannot mend ends it with one sentence: a refusal (wrong key, wrong shape), an answer without token ids, logprobs or labels.
///   REM-5  A server that it paused is resumed, also at its own end, if the server can be reached within a second.
/// `step` waits up to some milliseconds for the server and throws for REM-4. Likeliest tokens and logprobs of the prompt are refused.
std::unique_ptr<engine_core> make_remote_engine(remote_options options);

/// Asks a server, before a run begins, for what the run will need: a model, its length, the control routes, token ids, logprobs and labels of one token.
/// A server that a killed run has left paused is resumed. Gives the name of the model. Errors: unavailable, timeout, invalid: one sentence that names the URL, what was found and what was
/// expected.
expected<std::string> check_remote_server(const remote_options& options);

} // namespace troupe
