#pragma once

#include "actors/ask_named.hpp"
#include "runtime/base/http.hpp"

namespace troupe {

/// The REST face of a run, on loopback. Its server's threads only turn requests into messages; this actor asks the others and
/// answers.
///
/// | request                                  | answer                                                              |
/// | GET /healthz                             | 200 {"status": "ok"} while the experiment answers, else 503         |
/// | GET /metrics                             | Prometheus text                                                     |
/// | GET /v1/experiments                      | the experiments of this process                                     |
/// | GET /v1/experiments/{id}                 | state, progress, balance                                            |
/// | GET /v1/experiments/{id}/audit           | what `troupe audit RUN --json` prints (actors/audit.hpp)            |
/// | GET /v1/experiments/{id}/quarantine      | poison tasks: rollouts that were given up, why, and whether they can be retried |
/// | POST /v1/experiments/{id}/quarantine/{rollout}/retry | 202: it is tried again. 404: it is not there; 409: its group has left |
/// | POST /v1/experiments/{id}/pause|resume|stop | 202 and the state it will have                                   |
/// | POST /v1/experiments/{id}/faults         | 201, their numbers; takes {"rule": TEXT} or {"rules": [TEXT, ...]}   |
/// | GET /v1/experiments/{id}/faults          | the rules, how often each was reached and struck                    |
/// | DELETE /v1/experiments/{id}/faults/{n}   | 204                                                                 |
/// All of faults/ is 403 unless faults.enabled. Rules are as in faults.plan, and last as long as this process.
/// Errors are problem documents (RFC 9457).
///
///   CTRL-1  Every request is answered: by the actor asked, or 503 when it does not answer in time.
///   CTRL-2  A restart listens on the same port again.
///   CTRL-3  The run's folder says where: control.json {"url", "pid"}.
class control_actor {
public:
  static constexpr const char* name = "control";
  control_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  void status(const std::string& id, const http::responder& answer);
  void metrics(const http::responder& answer);
  template <class Command>
  void command(const std::string& id, Command what, std::string_view state, const http::responder& answer);
  bool known(const std::string& id, const http::responder& answer) const;
  void announce() const;

  self_ptr self_;
  context_ptr ctx_;
  std::unique_ptr<http::server> server_;
};

/// A request on its way from the server's thread to the actor.
struct control_request {
  enum class verb : std::uint8_t {
    health,
    metrics,
    list,
    show,
    audit,
    quarantine,
    retry,
    pause,
    resume,
    stop,
    add_faults,
    list_faults,
    remove_fault
  } what;
  std::string id, rollout;
  http::responder answer;
  json::value body; ///< of add_faults
  std::string item; ///< of remove_fault: its number
};

} // namespace troupe

TROUPE_LOCAL_TYPE(troupe::control_request)
