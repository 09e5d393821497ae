#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/http.hpp"
#include <functional>
#include <optional>
#include <string_view>

/// What is said to a server that generates for us, and how its answers are read. Pure: no I/O, no time. One class for each kind of server:
/// `troupe serve` (troupe_dialect.cpp), vLLM (vllm_dialect.cpp), SGLang (sglang_dialect.cpp).
namespace troupe::remote {

struct question {
  std::string method, path;
  json::value body = nullptr; ///< null: none
  std::string text() const { return body.is_null() ? std::string() : json::dump(body); }
};

// -- what is served: the same of all
struct served_model {
  std::string name;
  std::string owner;              ///< "owned_by": which kind of server it is; may be empty
  std::int64_t max_model_len = 0; ///< 0: it does not say
};
question ask_models();
expected<served_model> read_models(const json::value& answer);

/// One turn as it was sampled.
struct completed {
  std::vector<token> tokens;
  std::vector<float> logprobs;
  std::vector<std::uint64_t> labels; ///< which weights sampled each token, by the server's number of them
  std::optional<finish_reason>
      reason; ///< none: the server ended it for reasons of its own (a pause): ask again
  int prompt_tokens = 0, cached_tokens = 0;
};

/// One of the calls that give a server new weights, in their order.
struct control_step {
  enum class kind : std::uint8_t { other, load, resume };
  question ask;
  std::string doing; ///< "pausing it", for messages
  kind what = kind::other;
  /// Looks at an answer with status 200, if there is something to see. Errors: unavailable (it may be another one later), invalid.
  std::function<expected<void>(const json::value&)> read{};
};

class server_dialect {
public:
  virtual ~server_dialect() = default;
  virtual std::string_view name() const = 0; ///< as read_models gives it: "vllm"

  /// Whether weights may change under an open turn only if nothing is open: then every turn is of one version, the one that was loaded when it
  /// was asked for. Otherwise turns go on over an update, and the server says of each token which weights sampled it.
  virtual bool fenced() const = 0;
  /// How a server is begun whose logprobs are those of the tempered distribution; empty: this one's always are.
  virtual std::string_view when_tempered() const = 0;

  // -- one turn
  /// Errors: invalid, where this server would draw from another distribution than it gives logprobs of, or than was asked for.
  virtual expected<void> check(const generate_request& request) const = 0;
  /// `id` is another one in every call.
  virtual question ask_completion(const generate_request& request, const std::string& model,
                                  const std::string& id) const = 0;
  /// Errors: invalid, naming what was found and what was expected, where token ids, logprobs or weight versions are missing or do not fit
  /// together or to the request.
  virtual expected<completed> read_completion(const json::value& answer, const generate_request& request,
                                              int vocabulary) const = 0;

  // -- before a run
  /// A turn of one token after the vocabulary's last; a server with a smaller vocabulary refuses it. `one` is what its answer is read with.
  virtual question ask_probe(const generate_request& one, int vocabulary, const std::string& model,
                             const std::string& id) const;
  /// A token at this temperature, and the logprobs of the likeliest ones, the best first.
  virtual question ask_likeliest(double temperature, const std::string& model,
                                 const std::string& id) const = 0;
  /// Errors: unavailable (the server ended it for reasons of its own), invalid.
  virtual expected<std::vector<double>> read_likeliest(const json::value& answer) const = 0;
  /// What is said where a control route is not there; may be empty.
  virtual std::string_view control_hint() const = 0;

  // -- weights
  virtual question ask_weight_label() const = 0;
  /// 0: a label that is none of ours.
  virtual expected<std::uint64_t> read_weight_label(const json::value& answer) const = 0;
  /// `label` is greater than the server's number of its weights. `recompute`: cached keys and values of the old ones are not used again.
  virtual std::vector<control_step> give_weights(const std::string& folder, std::uint64_t label,
                                                 bool recompute) const = 0;
  virtual question ask_resume() const = 0;
};

/// By `owner` of what is served. One that is not known is taken to speak as `troupe serve` does.
const server_dialect& dialect_of(std::string_view owner);
const server_dialect& troupe_dialect();
const server_dialect& vllm_dialect();
const server_dialect& sglang_dialect();

/// What is sent with every question; an empty key: none.
http::header_list headers_of(const std::string& key);
/// "the engine's server at http://host:port", for messages.
std::string server_at(const std::string& url);

/// A status that may be another one later: the server is busy, starting, or out of order.
bool may_pass(int status);
/// "401 Unauthorized: the key is wrong"
std::string status_text(const http::response& answer);

} // namespace troupe::remote
