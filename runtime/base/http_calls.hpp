#pragma once

#include "runtime/base/http.hpp"

namespace troupe::http {

/// Many requests at once from one thread, none of which waits for another. Everything happens inside `wait`, in the thread that calls it.
///
/// | in                  | out                                                             |
/// | begin               | a number                                                        |
/// | wait                | what has ended since: by number, a response or why there is none |
/// | drop                | nothing: the connection is closed, so that the server sees that its client is gone |
///
/// | backpressure | waits for | unblocked by |
/// | an open call | the server | its answer, its deadline, `drop` |
/// Its owner bounds how many are open.
///
///   CALL-1  Every call that was begun ends once: it comes out of `wait`, by its deadline at the latest, or is dropped.
///   CALL-2  What was dropped never comes out.
class calls {
public:
  using number = std::uint64_t;
  struct ended {
    number which = 0;
    expected<response> what; ///< errors as those of `fetch`; also for a wrong URL
  };
  calls();
  ~calls(); ///< drops what is open
  calls(const calls&) = delete;
  calls& operator=(const calls&) = delete;

  number begin(const std::string& method, const std::string& url, const std::string& body,
               const header_list& headers, duration deadline);
  /// False: there is no such call.
  bool drop(number which);
  std::size_t open() const;
  /// Returns as soon as something has ended, else after `patience`, whether something is open or not.
  std::vector<ended> wait(duration patience);

private:
  struct core;
  std::unique_ptr<core> core_;
};

/// Whether a text is a URL that this kit can call. Errors: invalid.
expected<void> check_url(std::string_view url);

} // namespace troupe::http
