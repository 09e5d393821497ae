#include "actors/engine/token_journal.hpp"

#include "runtime/base/hash.hpp"
#include "runtime/base/json.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

namespace troupe {

namespace {

constexpr char format = 1;

std::uint32_t checksum(const std::vector<token>& tokens, std::size_t n, std::uint32_t seed = 0) {
  return crc32c({reinterpret_cast<const char*>(tokens.data()), n * sizeof(token)}, seed);
}

/// Whole numbers as base-128 groups, logprobs as their bits; about seven bytes a token.
class writer {
public:
  void number(std::uint64_t x) {
    for (; x >= 0x80; x >>= 7) out_ += static_cast<char>(x | 0x80);
    out_ += static_cast<char>(x);
  }
  void bits(std::uint32_t x) {
    char raw[sizeof x];
    std::memcpy(raw, &x, sizeof x);
    out_.append(raw, sizeof x);
  }
  void byte(char c) { out_ += c; }
  std::string take() { return std::move(out_); }

private:
  std::string out_;
};

class reader {
public:
  explicit reader(std::string_view from) : from_(from) {}
  std::uint64_t number() {
    std::uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto c = static_cast<unsigned char>(byte());
      out |= std::uint64_t{c & 0x7fu} << shift;
      if (c < 0x80) return out;
    }
    good_ = false;
    return 0;
  }
  std::uint32_t bits() {
    std::uint32_t out = 0;
    if (from_.size() < sizeof out) {
      good_ = false;
      from_ = {};
      return 0;
    }
    std::memcpy(&out, from_.data(), sizeof out);
    from_.remove_prefix(sizeof out);
    return out;
  }
  char byte() {
    if (from_.empty()) {
      good_ = false;
      return 0;
    }
    const char c = from_.front();
    from_.remove_prefix(1);
    return c;
  }
  bool good() const { return good_; }
  bool done() const { return from_.empty() || !good_; }

private:
  std::string_view from_;
  bool good_ = true;
};

// A sequence's purpose is in its highest bits: rotated, the number is small.
std::uint64_t packed(std::uint64_t sequence) { return std::rotl(sequence, 4); }
std::uint64_t unpacked(std::uint64_t number) { return std::rotr(number, 4); }

std::uint64_t zigzag(std::uint64_t to, std::uint64_t from) {
  const auto by = static_cast<std::int64_t>(to - from);
  return (static_cast<std::uint64_t>(by) << 1) ^ static_cast<std::uint64_t>(by >> 63);
}
std::uint64_t unzigzag(std::uint64_t x, std::uint64_t from) { return from + ((x >> 1) ^ (~(x & 1) + 1)); }

tl::unexpected<error> broken(const record& r) {
  return fail(errc::corrupt,
              "record " + r.key + " (seq " + std::to_string(r.seq) + ") is no journal of tokens");
}

std::uint64_t number_in(const std::string& key) {
  std::uint64_t out = 0;
  const auto at = key.find('/') + 1;
  std::from_chars(key.data() + at, key.data() + key.size(), out);
  return out;
}

} // namespace

// -- turns

const token_journal::turn* token_journal::find(const generate_request& request) const {
  const auto found = turns_.find(request.sequence);
  if (found == turns_.end() || found->second.tokens.empty()) return nullptr;
  const auto& it = found->second;
  if (planted("journal_of_an_older_turn")) return &it;
  if (it.position != request.context.size() || it.context != checksum(request.context, it.position))
    return nullptr; // JRN-1
  return &it;
}

void token_journal::begin(const generate_request& request) {
  auto& it = turns_[request.sequence];
  const auto context = checksum(request.context, request.context.size());
  const bool same = it.position == request.context.size() && it.context == context;
  if (same || (planted("journal_of_an_older_turn") && !it.tokens.empty())) {
    it.told = it.found = false;
    return;
  }
  it = {.on_disk = it.on_disk};
  it.position = request.context.size();
  it.context = context;
}

void token_journal::add(const token_news& news, std::size_t known) {
  const auto found = turns_.find(news.sequence);
  if (found == turns_.end() || found->second.tokens.size() != known + news.index) return;
  auto& it = found->second;
  it.tokens.push_back(news.id);
  it.logprobs.push_back(news.logprob);
  it.versions.push_back(news.version);
}

void token_journal::told(std::uint64_t sequence) {
  if (const auto found = turns_.find(sequence); found != turns_.end()) found->second.told = true;
}

void token_journal::forget(std::uint64_t sequence) {
  const auto found = turns_.find(sequence);
  if (found == turns_.end()) return;
  if (found->second.on_disk || found->second.in_flight > 0) over_.insert(sequence);
  turns_.erase(found);
}

std::vector<std::uint64_t> token_journal::roll_back(std::uint64_t version) {
  std::vector<std::uint64_t> out;
  if (planted("journal_outlives_rollback")) return out;
  for (auto& [sequence, it] : turns_) {
    const auto newer = std::find_if(it.versions.begin(), it.versions.end(),
                                    [&](std::uint64_t v) { return v > version; }); // JRN-2
    if (newer == it.versions.end()) continue;
    const auto kept = static_cast<std::size_t>(newer - it.versions.begin());
    it.tokens.resize(kept);
    it.logprobs.resize(kept);
    it.versions.resize(kept);
    it.written = std::min(it.written, kept);
    it.in_flight = std::min(it.in_flight, kept);
    it.told = false;
    out.push_back(sequence);
  }
  return out;
}

// -- records

bool token_journal::has_unwritten() const {
  return std::any_of(turns_.begin(), turns_.end(), [&](const auto& it) { return due(it.second); });
}

std::optional<new_record> token_journal::unwritten(std::uint64_t lineage) {
  if (!has_unwritten()) return std::nullopt;
  std::uint64_t from = 0; // none before this one
  for (const auto& [sequence, it] : turns_)
    if (it.first_seq > 0 && !it.told && !far_back(it, it.found ? found_span : span))
      from = from ? std::min(from, it.first_seq) : it.first_seq;
  writer out;
  out.byte(format);
  out.number(lineage);
  out.number(from);
  over_in_flight_ = over_;
  for (const auto sequence : over_) { // before those that have begun again
    out.number(packed(sequence));
    out.number(0);
    out.number(0);
    out.bits(0);
    out.number(0);
  }
  for (auto& [sequence, it] : turns_) {
    const bool again = !it.told && !it.found && far_back(it); // JRN-3
    it.in_flight = 0;
    if (!due(it) && !again) continue;
    if (again) it.first_seq = 0;
    const auto start = it.first_seq > 0 ? it.written : 0;
    it.in_flight = it.tokens.size();
    out.number(packed(sequence));
    out.number(it.position);
    out.number(start);
    out.bits(checksum(it.tokens, start, it.context)); // JRN-1
    out.number(it.tokens.size() - start);
    std::uint64_t before = 0;
    for (auto i = start; i < it.tokens.size(); ++i) {
      out.number(static_cast<std::uint64_t>(it.tokens[i]));
      out.bits(std::bit_cast<std::uint32_t>(it.logprobs[i]));
      out.number(zigzag(it.versions[i], before));
      before = it.versions[i];
    }
  }
  return new_record{kind, kind, std::string(kind) + "/" + std::to_string(number_), out.take()};
}

void token_journal::written(std::uint64_t seq) {
  for (auto& [sequence, it] : turns_) {
    if (it.in_flight == 0) continue;
    if (it.first_seq == 0) {
      it.first_seq = seq;
      it.first_number = number_;
    }
    it.written = std::exchange(it.in_flight, 0);
    it.on_disk = true;
  }
  for (const auto sequence : over_in_flight_) over_.erase(sequence);
  over_in_flight_.clear();
  std::erase_if(turns_, [&](const auto& it) { return it.second.found && far_back(it.second, 2 * span); });
  ++number_;
}

void token_journal::refused(bool taken) {
  for (auto& [sequence, it] : turns_) it.in_flight = 0;
  over_in_flight_.clear();
  if (taken) ++number_;
}

// -- reading back

expected<std::uint64_t> token_journal::needed_from(const std::vector<record>& records) {
  // Not the newest alone: an older life's last record may have come behind a newer life's first.
  constexpr std::size_t looked_at = 16;
  std::uint64_t out = ~std::uint64_t{0};
  for (std::size_t i = records.size() - std::min(records.size(), looked_at); i < records.size(); ++i) {
    reader in(records[i].body);
    if (in.byte() != format) return broken(records[i]);
    in.number();
    const auto from = in.number();
    if (!in.good()) return broken(records[i]);
    out = std::min(out, from ? from : records[i].seq);
  }
  return out;
}

expected<void> token_journal::read(const std::vector<record>& records,
                                   const std::vector<std::uint64_t>& undone) {
  for (const auto& r : records) {
    number_ = std::max(number_, number_in(r.key) + 1);
    reader in(r.body);
    if (in.byte() != format) return broken(r);
    const auto lineage = in.number();
    in.number();
    auto newest = ~std::uint64_t{0}; // JRN-2: of all later rollbacks, the one that went back furthest
    for (auto i = lineage; i < undone.size() && !planted("journal_outlives_rollback"); ++i)
      newest = std::min(newest, undone[i]);
    while (!in.done()) {
      const auto sequence = unpacked(in.number());
      const auto position = in.number(), start = in.number();
      const auto before = in.bits();
      const auto n = in.number();
      if (!in.good() || n > r.body.size()) return broken(r);
      entry next;
      next.position = position;
      std::uint64_t version = 0;
      bool undone_from_here = false;
      for (std::uint64_t i = 0; i < n; ++i) {
        const auto id = in.number();
        const auto logprob = std::bit_cast<float>(in.bits());
        version = unzigzag(in.number(), version);
        if (!in.good()) return broken(r);
        undone_from_here = undone_from_here || version > newest;
        if (undone_from_here) continue;
        next.tokens.push_back(static_cast<token>(id));
        next.logprobs.push_back(logprob);
        next.versions.push_back(version);
      }
      auto& it = turns_[sequence];
      if (start == 0) {
        next.context = before;
        next.first_seq = r.seq;
        next.first_number = number_;
        it = std::move(next);
      } else if (it.position == position && it.tokens.size() >= start &&
                 checksum(it.tokens, start, it.context) == before) { // JRN-1
        auto join = [start](auto& onto, const auto& more) {
          onto.resize(start);
          onto.insert(onto.end(), more.begin(), more.end());
        };
        join(it.tokens, next.tokens);
        join(it.logprobs, next.logprobs);
        join(it.versions, next.versions);
      }
      it.written = it.tokens.size();
      it.found = it.on_disk = true;
    }
    if (!in.good()) return broken(r);
  }
  std::erase_if(turns_, [](const auto& it) { return it.second.tokens.empty(); });
  return {};
}

expected<std::vector<std::uint64_t>> token_journal::undone_by(const std::vector<record>& rollbacks) {
  std::vector<std::uint64_t> out;
  for (const auto& r : rollbacks) {
    const auto body = json::parse(r.body);
    const auto steps = body && body->is_object() ? json::int_at(body->get_object(), "steps")
                                                 : expected<std::int64_t>(fail(errc::corrupt, "no object"));
    if (!steps) return fail(errc::corrupt, "record " + r.key + ": " + steps.error().message);
    out.push_back(static_cast<std::uint64_t>(*steps));
  }
  return out;
}

} // namespace troupe
