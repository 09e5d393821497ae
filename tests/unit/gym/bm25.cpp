#include "bm25.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <sstream>

namespace troupe::test {

namespace {
/// Words like unicode61's on ASCII: an apostrophe separates too.
std::vector<std::string> tokens(std::string text) {
  std::replace(text.begin(), text.end(), '\'', ' ');
  std::istringstream words(plain_words(text));
  return {std::istream_iterator<std::string>(words), {}};
}
} // namespace

bm25::bm25(const std::string& corpus_jsonl) {
  std::istringstream lines(corpus_jsonl);
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = json::parse(line)->as_object();
    documents_.push_back({*json::string_at(parsed, "id"), *json::string_at(parsed, "title"),
                          *json::string_at(parsed, "text")});
  }
  for (std::size_t i = 0; i < documents_.size(); ++i) {
    std::map<std::string, double> weights;
    const auto title = tokens(documents_[i].title), body = tokens(documents_[i].text);
    for (const auto& word : title) weights[word] += 10;
    for (const auto& word : body) weights[word] += 1;
    for (const auto& [word, weight] : weights) index_[word].push_back({i, weight});
    lengths_.push_back(static_cast<double>(title.size() + body.size()));
    mean_length_ += lengths_.back() / static_cast<double>(documents_.size());
  }
}

std::string bm25::top(const std::string& query) const {
  std::map<std::size_t, double> scores;
  const auto words = tokens(query);
  for (const auto& word : std::set<std::string>(words.begin(), words.end())) {
    const auto found = index_.find(word);
    if (found == index_.end()) continue;
    const auto hits = static_cast<double>(found->second.size()), all = static_cast<double>(documents_.size());
    const double rarity = std::max(std::log((all - hits + .5) / (hits + .5)), 1e-6);
    for (const auto& [document, weight] : found->second)
      scores[document] +=
          rarity * weight * 2.2 / (weight + 1.2 * (.25 + .75 * lengths_[document] / mean_length_));
  }
  if (scores.empty()) return "No results.";
  const auto best = std::max_element(scores.begin(), scores.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return as_observation(documents_[best->first]);
}

} // namespace troupe::test
