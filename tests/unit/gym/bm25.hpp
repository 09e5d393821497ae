#pragma once

#include "gym/world_facts.hpp"
#include <map>
#include <string>
#include <vector>

namespace troupe::test {

/// A full-text search in a few lines, with the ranking that SQLite's FTS5 documents: bm25 with k1 = 1.2, b =
/// 0.75, a word in the title counting ten times, query words joined by OR, the first document winning a tie.
class bm25 {
public:
  explicit bm25(const std::string& corpus_jsonl);
  /// The best document as search shows it; "No results." without a hit.
  std::string top(const std::string& query) const;
  std::size_t size() const { return documents_.size(); }
  const std::vector<corpus_document>& documents() const { return documents_; }

private:
  struct posting {
    std::size_t document;
    double weight;
  };
  std::vector<corpus_document> documents_;
  std::vector<double> lengths_;
  double mean_length_ = 0;
  std::map<std::string, std::vector<posting>> index_;
};

} // namespace troupe::test
