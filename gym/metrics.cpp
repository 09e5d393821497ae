#include "gym/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace troupe {

namespace {

constexpr double z = 1.959963984540054; // the normal distribution's 97.5 % quantile

/// Student's t, 97.5 % quantile. Exact values up to 30 degrees of freedom, then Cornish and Fisher's
/// expansion (Abramowitz and Stegun 26.7.5), whose error is below 1e-6 there.
double student(int freedom) {
  constexpr std::array<double, 30> exact{
      12.706204736174698, 4.302652729749464,  3.182446305283708,  2.7764451051977934, 2.5705818356363146,
      2.446911851144969,  2.3646242515927853, 2.306004135204166,  2.2621571628540993, 2.228138851986273,
      2.2009851600916384, 2.178812829667228,  2.1603686564627926, 2.144786687917803,  2.1314495455597755,
      2.119905299221254,  2.109815577833316,  2.100922040241039,  2.0930240544083096, 2.0859634472658364,
      2.0796138447276835, 2.0738730679040267, 2.068657610419042,  2.0638985616280254, 2.059538552753296,
      2.055529438642873,  2.051830516480284,  2.0484071417952454, 2.045229642132703,  2.042272456301237};
  if (freedom <= 30) return exact[static_cast<std::size_t>(freedom) - 1];
  const double v = freedom, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, z9 = z7 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v) +
         (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * v * v * v * v);
}

std::array<double, 2> wilson(double share, double n) {
  const double scale = 1 + z * z / n, middle = (share + z * z / (2 * n)) / scale;
  const double half = z / scale * std::sqrt(share * (1 - share) / n + z * z / (4 * n * n));
  return {share == 0 ? 0 : middle - half, share == 1 ? 1 : middle + half};
}

} // namespace

expected<double> pass_at_k(int n, int c, int k) {
  if (n < 0 || c < 0 || c > n || k < 1 || k > n)
    return fail(errc::invalid, "pass@k: found n=" + std::to_string(n) + ", c=" + std::to_string(c) +
                                   ", k=" + std::to_string(k) + ", expected 0 <= c <= n and 1 <= k <= n");
  if (n - c < k) return 1.0;
  double none = 1;
  for (int i = n - c + 1; i <= n; ++i) none *= 1.0 - static_cast<double>(k) / i;
  return 1.0 - none;
}

estimate estimate_mean(const std::vector<double>& per_question) {
  if (per_question.empty()) return {};
  const auto n = static_cast<double>(per_question.size());
  double sum = 0, square = 0;
  for (double x : per_question) sum += x;
  const double mean = sum / n;
  const estimate point{mean, {mean, mean}, static_cast<int>(per_question.size())};
  if (std::all_of(per_question.begin(), per_question.end(), [](double x) { return x == 0 || x == 1; }))
    return {mean, wilson(mean, n), point.n};
  if (point.n == 1) return point;
  for (double x : per_question) square += (x - mean) * (x - mean);
  const double half = student(point.n - 1) * std::sqrt(square / (n - 1) / n);
  return {mean, {mean - half, mean + half}, point.n};
}

} // namespace troupe
