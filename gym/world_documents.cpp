#include "gym/world_facts.hpp"

namespace troupe {

namespace {

constexpr std::array<std::string_view, 6> fillers{"It has a museum.",       "Known for its market.",
                                                  "It has a library.",      "Known for its music.",
                                                  "It has an old theatre.", "Known for its food."};

std::string join(std::vector<std::string> sentences, random_stream& random) {
  shuffle(sentences, random);
  std::string out;
  for (const auto& one : sentences) (out += out.empty() ? "" : " ") += one;
  return out;
}

std::string list(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) (out += out.empty() ? "" : ", ") += name;
  return out;
}

/// One of two phrasings.
std::string either(random_stream& random, std::string first, std::string second) {
  return random.chance(.5) ? std::move(first) : std::move(second);
}

std::string people(std::int64_t n, random_stream& random) {
  const auto text = population_text(n);
  return either(random, "Population " + text + ".", text + " people.");
}

corpus_document settlement(const place& about, std::string id, std::string role, random_stream& random) {
  std::vector<std::string> sentences{std::move(role), people(about.population, random),
                                     std::string(fillers[random.below(fillers.size())])};
  return {std::move(id), about.name, join(std::move(sentences), random)};
}

} // namespace

country_documents write_documents(const country_facts& about, const std::vector<std::string>& same_code,
                                  const std::vector<std::string>& same_domain, random_stream& random) {
  country_documents out;
  std::vector<std::string> facts;
  facts.push_back(either(random, "Country in " + about.continent + ".", "Part of " + about.continent + "."));
  facts.push_back(
      either(random, "Capital " + about.capital.name + ".", "Its capital is " + about.capital.name + "."));
  facts.push_back(either(random, "Currency " + about.currency + ".", "Money is the " + about.currency + "."));
  facts.push_back(either(random, "Calling code " + about.code + ".", "Dial " + about.code + "."));
  facts.push_back(either(random, "Internet domain " + about.domain + ".", "Domain " + about.domain + "."));
  facts.push_back(people(about.population, random));
  out.country = {"country-" + about.iso, about.name, join(std::move(facts), random)};
  out.capital = settlement(
      about.capital, "capital-" + about.iso,
      either(random, "Capital of " + about.name + ".", "Capital city of " + about.name + "."), random);
  for (const auto& city : about.cities)
    out.cities.push_back(
        settlement(city, "city-" + city.id,
                   either(random, "City in " + about.name + ".", "A city of " + about.name + "."), random));
  out.code = {"code-" + about.code, "Calling code " + about.code,
              either(random, "Telephone prefix of ", "Used to call ") + list(same_code) + "."};
  out.domain = {"domain-" + about.domain.substr(1), "Domain " + about.domain,
                either(random, "Internet domain of ", "Used on the web by ") + list(same_domain) + "."};
  return out;
}

std::string as_observation(const corpus_document& what) { return what.title + ": " + what.text; }

} // namespace troupe
