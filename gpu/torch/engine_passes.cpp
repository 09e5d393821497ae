#include "gpu/torch/engine_passes.hpp"

#include <algorithm>
#include <bit>

namespace troupe::torch_detail {

namespace {

/// Rows of one sequence that go into one pass.
struct piece {
  int first, count;
  int blocks; ///< up to the last of its positions
};

/// What `rows` says of one piece, from its first row on.
piece make_piece(const std::vector<model_row>& rows, int first, int count) {
  return {first, count, rows[static_cast<std::size_t>(first + count - 1)].position / lanes + 1};
}

int wanted_in(const std::vector<model_row>& rows, const piece& p) {
  const auto begin = rows.begin() + p.first;
  return static_cast<int>(std::count_if(begin, begin + p.count, [](auto& r) { return r.wants_logits; }));
}

/// Fills the places of a pass whose shape is known.
void lay_out(engine_pass& pass, const std::vector<piece>& pieces, const std::vector<model_row>& rows) {
  pass.rows.assign(static_cast<std::size_t>(pass.sequences) * static_cast<std::size_t>(pass.length), -1);
  for (std::size_t s = 0; s < pieces.size(); ++s)
    for (int i = 0; i < pieces[s].count; ++i) {
      const auto place = s * static_cast<std::size_t>(pass.length) + static_cast<std::size_t>(i);
      pass.rows[place] = pieces[s].first + i;
      if (rows[static_cast<std::size_t>(pieces[s].first + i)].wants_logits)
        pass.wanted.push_back(static_cast<int>(place));
    }
}

void plan_decoding(std::vector<piece> singles, const std::vector<model_row>& rows, const pass_limits& limits,
                   std::vector<engine_pass>& out) {
  std::stable_sort(singles.begin(), singles.end(), [](auto& a, auto& b) { return a.blocks > b.blocks; });
  for (std::size_t at = 0; at < singles.size();) {
    const int width = padded_width(singles[at].blocks);
    const auto fits = [&](int n) {
      return n == 1 || (padded_batch(n) <= limits.most_rows && n <= limits.most_wanted &&
                        std::int64_t{padded_batch(n)} * width <= limits.most_blocks);
    };
    int n = 1;
    while (at + static_cast<std::size_t>(n) < singles.size() && fits(n + 1)) ++n;
    const auto begin = singles.begin() + static_cast<std::ptrdiff_t>(at);
    auto& pass = out.emplace_back();
    pass.sequences = padded_batch(n), pass.length = 1, pass.width = width, pass.decodes = true;
    lay_out(pass, {begin, begin + n}, rows);
    at += static_cast<std::size_t>(n);
  }
}

void plan_prefill(std::vector<piece> pieces, const std::vector<model_row>& rows, const pass_limits& limits,
                  std::vector<engine_pass>& out) {
  // All pieces of a long run but its last are of the greatest length: a stable sort keeps them in order.
  std::stable_sort(pieces.begin(), pieces.end(), [](auto& a, auto& b) { return a.count > b.count; });
  for (std::size_t at = 0; at < pieces.size();) {
    const int length = pieces[at].count;
    std::vector<piece> taken;
    int wanted = 0, width = 0;
    for (; at < pieces.size(); ++at) {
      const auto& next = pieces[at];
      const int n = static_cast<int>(taken.size()) + 1, wide = std::max(width, next.blocks);
      const int asked = wanted + wanted_in(rows, next);
      if (n > 1 && (n * length > limits.most_rows || asked > limits.most_wanted ||
                    std::int64_t{n} * wide > limits.most_blocks || 2 * next.count < length))
        break;
      taken.push_back(next), wanted = asked, width = wide;
    }
    auto& pass = out.emplace_back();
    pass.sequences = static_cast<int>(taken.size()), pass.length = length, pass.width = width;
    lay_out(pass, taken, rows);
  }
}

} // namespace

int padded_batch(int sequences) {
  return sequences <= 8 ? static_cast<int>(std::bit_ceil(static_cast<unsigned>(sequences)))
                        : (sequences + 7) / 8 * 8;
}

int padded_width(int blocks) { return static_cast<int>(std::bit_ceil(static_cast<unsigned>(blocks))); }

std::vector<engine_pass> plan_passes(const std::vector<model_row>& rows, const pass_limits& limits) {
  std::vector<piece> singles, others;
  const int total = static_cast<int>(rows.size());
  for (int first = 0, end = 0; first < total; first = end) {
    const auto& sequence = rows[static_cast<std::size_t>(first)].sequence;
    for (end = first + 1; end < total && rows[static_cast<std::size_t>(end)].sequence == sequence;) ++end;
    const int count = end - first;
    if (count == 1) {
      singles.push_back(make_piece(rows, first, 1));
      continue;
    }
    const bool many = wanted_in(rows, make_piece(rows, first, count)) > limits.most_wanted;
    const int most = std::max(1, many ? std::min(limits.most_rows, limits.most_wanted) : limits.most_rows);
    for (int i = 0; i < count; i += most)
      others.push_back(make_piece(rows, first + i, std::min(most, count - i)));
  }
  std::vector<engine_pass> out;
  plan_decoding(std::move(singles), rows, limits, out);
  plan_prefill(std::move(others), rows, limits, out);
  return out;
}

} // namespace troupe::torch_detail
