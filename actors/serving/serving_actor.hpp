#pragma once

#include "actors/ask_named.hpp"
#include "actors/serving/api_answer.hpp"
#include "actors/serving/serving_metrics.hpp"
#include <deque>
#include <map>
#include <set>

namespace troupe::serving {

// -- messages, from the server's threads and the api actor
struct serve_request {
  std::shared_ptr<const api_request> what;
  std::uint64_t number = 0; ///< unique, rising
  http::responder answer;
};
struct client_gone { ///< or too slow
  std::uint64_t number = 0;
};
struct pause_serving { ///< answers when it holds
  enum class mode : std::uint8_t { abort, wait, keep } how;
  http::responder answer;
};
struct resume_serving {
  http::responder answer;
};
struct serving_status_request {}; ///< -> serving_status
struct serving_status {
  std::size_t open = 0, held = 0; ///< requests; choices that the engine has not been given
  bool paused = false, engine_alive = false;
};

/// Owns every open request of a server: hands its choices to the engine, and writes its answer as the tokens come.
///
/// | in                                 | out                                                                         |
/// | serve_request                      | generate to the engine, for each choice; the answer, whole or in chunks     |
/// | tokens_sampled, generated          | chunks, the end                                                             |
/// | client_gone                        | cancel_generation                                                           |
/// | pause_serving, resume_serving      | pause_engine; their answers                                                 |
/// | serving_status_request             | serving_status                                                              |
///
/// | backpressure | waits for | unblocked by |
/// | an open request (at most max_queue; beyond: 429) | a place in the engine | a finished or cancelled sequence |
/// | a stream | its client to read (at most stream_limit bytes) | the client, or its request is cancelled |
///
///   SRV-1  Every request is answered once: with what was generated, or with an error that says why; by its deadline at the latest.
///   SRV-2  A client that leaves, or reads too slowly, has its sequences cancelled before the engine's next step but one.
///   SRV-3  After an engine's end every open choice goes on where it was, with the same tokens as if nothing had happened (a
///          draw is keyed by its position), and nothing is streamed twice; after `most_lives` ends it fails.
///   SRV-4  The choices of a prompt share its keys and values; requests of one cache_salt share the beginnings of theirs, in blocks.
class serving_actor {
public:
  static constexpr const char* name = "serving";
  serving_actor(self_ptr self, serving_ptr ctx);
  behavior make_behavior();

private:
  struct open_request {
    std::shared_ptr<const api_request> what;
    std::uint64_t number = 0;
    http::responder answer;
    http::body_stream stream;
    bool streaming = false;
    answer_writer writer;
    std::vector<choice> choices;
    struct life {
      std::size_t base = 0;        ///< tokens that it had when it was given to the engine
      int ends = 0;                ///< of engines that it has seen
      actor_ref engine{}, ended{}; ///< that it was given to; whose end it has seen last
      bool asked = false;          ///< the engine has it, and has not answered yet
      duration last{};             ///< its newest token's
    };
    std::vector<life> lives; ///< of each choice
    duration arrived{}, given{}, first{}, due{};
    open_request(const serving_context& ctx, const serve_request& from);
    bool over() const;
  };
  using request_ptr = std::shared_ptr<open_request>;

  void admit(const serve_request& from);
  void submit(const request_ptr& request, std::size_t index);
  void ask_engine(const request_ptr& request, std::size_t index);
  void took(const request_ptr& request, std::size_t index, const generated& what);
  void lost(const request_ptr& request, std::size_t index, const error& why);
  void hear(tokens_sampled& news);
  bool note_end(open_request::life& life) const;
  void note_token(open_request& request, std::size_t index);
  void cancel_choice(open_request& request, std::size_t index);
  /// Writes what is new; ends the request if all of it is there.
  void write(const request_ptr& request);
  void finish(const request_ptr& request);
  void fail_request(request_ptr request, const api_error& why);
  void forget(const open_request& request);
  void drop(const request_ptr& request);
  void check_deadlines();
  void pause(const pause_serving& order);
  void pause_if_idle();
  void resume(const http::responder& answer);
  request_ptr find(std::uint64_t number) const;

  self_ptr self_;
  serving_ptr ctx_;
  serving_metrics metrics_;
  std::map<std::uint64_t, request_ptr> open_; ///< by number
  std::set<std::pair<duration, std::uint64_t>> due_;
  std::deque<std::pair<std::uint64_t, std::size_t>> held_; ///< choices that wait for `resume`
  std::size_t running_ = 0;                                ///< choices that the engine has
  bool paused_;
  std::optional<http::responder> idle_wanted_; ///< who waits until nothing runs
};

} // namespace troupe::serving

TROUPE_LOCAL_TYPE(troupe::serving::serve_request)
TROUPE_LOCAL_TYPE(troupe::serving::client_gone)
TROUPE_LOCAL_TYPE(troupe::serving::pause_serving)
TROUPE_LOCAL_TYPE(troupe::serving::resume_serving)
TROUPE_LOCAL_TYPE(troupe::serving::serving_status_request)
TROUPE_LOCAL_TYPE(troupe::serving::serving_status)
