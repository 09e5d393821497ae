#include "cli/restart_watch.hpp"

#include "actors/ids.hpp"

namespace troupe::cli {

namespace {

std::string stream_of_sequence(std::uint64_t sequence) { return stream_of(rollout_key::of_number(sequence)); }

/// Tells when a turn was asked for and when it came out.
class watched_engine final : public engine_core {
public:
  watched_engine(std::unique_ptr<engine_core> inner, std::shared_ptr<restart_watch> board)
      : inner_(std::move(inner)), board_(std::move(board)) {}
  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override {
    inner_->set_weights(std::move(weights), version, policy);
  }
  expected<void> submit(generate_request request) override {
    board_->note(life_step::asked, stream_of_sequence(request.sequence));
    return inner_->submit(std::move(request));
  }
  bool cancel(std::uint64_t sequence) override { return inner_->cancel(sequence); }
  void forget(std::uint64_t sequence) override { inner_->forget(sequence); }
  bool step(std::vector<generated>& finished, std::vector<token_news>* told) override {
    const auto had = finished.size();
    const bool more = inner_->step(finished, told);
    for (auto i = had; i < finished.size(); ++i)
      board_->note(life_step::sampled, stream_of_sequence(finished[i].sequence));
    return more;
  }
  engine_stats stats() const override { return inner_->stats(); }

private:
  std::unique_ptr<engine_core> inner_;
  std::shared_ptr<restart_watch> board_;
};

/// Tells when a rollout's records were read, and when its next turn or its end is durable.
class watched_store final : public event_store {
public:
  watched_store(std::unique_ptr<event_store> inner, std::shared_ptr<restart_watch> board)
      : inner_(std::move(inner)), board_(std::move(board)) {}
  append_result append(append_request records) override {
    auto out = inner_->append(records);
    if (out) tell(records);
    return out;
  }
  std::vector<append_result> append_group(std::span<const append_request> requests) override {
    auto out = inner_->append_group(requests);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (out[i]) tell(requests[i]);
    return out;
  }
  expected<std::vector<record>> read_stream(const std::string& stream) override {
    auto out = inner_->read_stream(stream);
    board_->note(life_step::read, stream);
    return out;
  }
  expected<std::vector<record>> read_kind(const std::string& kind, std::uint64_t after,
                                          std::size_t most) override {
    return inner_->read_kind(kind, after, most);
  }
  expected<std::vector<std::pair<std::string, std::uint64_t>>> count_kinds() override {
    return inner_->count_kinds();
  }
  expected<store_position> position(std::uint64_t seq) override { return inner_->position(seq); }
  duration busy() const override { return inner_->busy(); }

private:
  void tell(append_request records) {
    for (const auto& r : records)
      if (r.kind == "turn")
        board_->note(life_step::turn, r.stream);
      else if (r.kind == "verdict" || r.kind == "failed")
        board_->note(life_step::over, r.stream);
  }
  std::unique_ptr<event_store> inner_;
  std::shared_ptr<restart_watch> board_;
};

} // namespace

std::unique_ptr<engine_core> watched(std::unique_ptr<engine_core> inner, std::shared_ptr<restart_watch> by) {
  return std::make_unique<watched_engine>(std::move(inner), std::move(by));
}
std::unique_ptr<event_store> watched(std::unique_ptr<event_store> inner, std::shared_ptr<restart_watch> by) {
  return std::make_unique<watched_store>(std::move(inner), std::move(by));
}

} // namespace troupe::cli
