#include "gym/world_facts.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace troupe {

namespace {

constexpr std::array country_relations{relation::capital, relation::currency, relation::continent,
                                       relation::code, relation::domain};
constexpr std::array detours{entry_point::capital, entry_point::city, entry_point::code, entry_point::domain};

/// The two ways to ask for a relation: what stands before and behind the subject.
struct wording {
  std::string_view before, behind;
};
constexpr std::array<std::array<wording, 2>, 7> wordings{{
    {{{"What is the capital of ", "?"}, {"Name the capital of ", "."}}},
    {{{"What is the currency of ", "?"}, {"Which currency is used in ", "?"}}},
    {{{"On what continent is ", "?"}, {"Name the continent of ", "."}}},
    {{{"What is the calling code of ", "?"}, {"Which calling code has ", "?"}}},
    {{{"What is the internet domain of ", "?"}, {"Name the internet domain of ", "."}}},
    {{{"In which country is ", "?"}, {"Name the country of the city ", "."}}},
    {{{"What is the population of the capital of ", "?"}, {"How many people live in the capital of ", "?"}}},
}};

std::string subject(const country_facts& about, const question_form& form) {
  switch (form.by) {
  case entry_point::name: return about.name;
  case entry_point::capital: return "the country whose capital is " + about.capital.name;
  case entry_point::city:
    return form.asked == relation::country ? about.cities[form.city].name
                                           : "the country where " + about.cities[form.city].name + " is";
  case entry_point::code: return "the country with calling code " + about.code;
  case entry_point::domain: return "the country with domain " + about.domain;
  }
  return about.name;
}

bool has_entry(const country_facts& about, entry_point by) {
  switch (by) {
  case entry_point::name: return true;
  case entry_point::capital: return about.own_capital;
  case entry_point::city: return !about.cities.empty();
  case entry_point::code: return about.own_code;
  case entry_point::domain: return about.own_domain;
  }
  return false;
}

/// A capital named like its country, or like another capital, can be found neither by its document nor told
/// from the country's. A country with several calling codes has several right answers.
bool has_answer(const country_facts& about, relation asked) {
  if (asked == relation::capital || asked == relation::capital_population) return about.own_capital;
  if (asked == relation::code) return about.code.find(' ') == std::string::npos;
  return true;
}

bool trivial(relation asked, entry_point by) {
  return (asked == relation::capital && by == entry_point::capital) ||
         (asked == relation::code && by == entry_point::code) ||
         (asked == relation::domain && by == entry_point::domain) ||
         (asked == relation::capital_population && by == entry_point::capital);
}

std::vector<question_form> forms_of(const country_facts& about, relation asked, entry_point by) {
  std::vector<question_form> out;
  if (asked != relation::country && !about.own_name)
    return out; // the way leads through the country's own document
  if (!has_entry(about, by) || !has_answer(about, asked) || trivial(asked, by)) return out;
  const std::size_t places = by == entry_point::city ? about.cities.size() : 1;
  for (std::size_t city = 0; city < places; ++city)
    for (int phrasing : {0, 1}) out.push_back({asked, by, city, phrasing});
  return out;
}

struct candidate {
  const country_facts* about;
  question_form form;
};

task make_task(const candidate& from, split part) {
  task out;
  out.question = question_text(*from.about, from.form);
  out.answers = {answer_text(*from.about, from.form.asked)};
  out.part = part;
  out.hops = from.form.hops();
  const auto queries = oracle_queries(*from.about, from.form);
  out.extra = {
      {"asked", to_string(from.form.asked)}, {"by", to_string(from.form.by)}, {"country", from.about->iso}};
  out.extra["queries"] = json::array(queries.begin(), queries.end());
  return out;
}

/// `count` questions of one hop count, one kind after the other in turn.
std::vector<task> draw(const std::vector<country_facts>& countries, split part, int hops, std::size_t count,
                       random_stream& random) {
  std::map<std::pair<relation, entry_point>, std::vector<candidate>> kinds;
  for (const auto& about : countries)
    if (about.heldout == (part == split::heldout))
      for (const auto& forms : question_forms(about, hops))
        for (const auto& form : forms) kinds[{form.asked, form.by}].push_back({&about, form});
  for (auto& [kind, candidates] : kinds) shuffle(candidates, random);
  std::vector<task> out;
  for (std::size_t round = 0, taken = 1; taken > 0 && out.size() < count; ++round) {
    taken = 0;
    for (const auto& [kind, candidates] : kinds) {
      if (round >= candidates.size() || out.size() >= count) continue;
      out.push_back(make_task(candidates[round], part));
      ++taken;
    }
  }
  return out;
}

} // namespace

std::string_view to_string(relation what) {
  constexpr std::array<std::string_view, 7> names{"capital", "currency", "continent",         "code",
                                                  "domain",  "country",  "capital_population"};
  return names[static_cast<std::size_t>(what)];
}

std::string_view to_string(entry_point what) {
  constexpr std::array<std::string_view, 5> names{"name", "capital", "city", "code", "domain"};
  return names[static_cast<std::size_t>(what)];
}

int question_form::hops() const {
  if (by == entry_point::name || asked == relation::country) return 1;
  return asked == relation::capital_population ? 3 : 2;
}

std::vector<std::vector<question_form>> question_forms(const country_facts& about, int hops) {
  std::vector<std::vector<question_form>> out;
  const auto add = [&](relation asked, entry_point by) {
    if (auto forms = forms_of(about, asked, by); !forms.empty()) out.push_back(std::move(forms));
  };
  if (hops == 1) {
    for (auto asked : country_relations) add(asked, entry_point::name);
    add(relation::country, entry_point::city);
  } else if (hops == 2) {
    for (auto asked : country_relations)
      for (auto by : detours) add(asked, by);
  } else if (hops == 3) {
    for (auto by : detours) add(relation::capital_population, by);
  }
  return out;
}

std::string question_text(const country_facts& about, const question_form& form) {
  const auto& way = wordings[static_cast<std::size_t>(form.asked)][static_cast<std::size_t>(form.phrasing)];
  return std::string(way.before) + subject(about, form) + std::string(way.behind);
}

std::string answer_text(const country_facts& about, relation asked) {
  switch (asked) {
  case relation::capital: return about.capital.name;
  case relation::currency: return about.currency;
  case relation::continent: return about.continent;
  case relation::code: return about.code;
  case relation::domain: return about.domain;
  case relation::country: return about.name;
  case relation::capital_population: return population_text(about.capital.population);
  }
  return about.name;
}

std::vector<std::string> oracle_queries(const country_facts& about, const question_form& form) {
  std::vector<std::string> out;
  switch (form.by) {
  case entry_point::name: break;
  case entry_point::capital: out.push_back(about.capital.name); break;
  case entry_point::city: out.push_back(about.cities[form.city].name); break;
  case entry_point::code: out.push_back("calling code " + about.code); break;
  case entry_point::domain: out.push_back("domain " + about.domain); break;
  }
  if (form.asked != relation::country) out.push_back(about.name);
  if (form.asked == relation::capital_population) out.push_back(about.capital.name);
  return out;
}

std::vector<std::string> oracle_observations(const country_documents& documents, const question_form& form) {
  std::vector<std::string> out;
  switch (form.by) {
  case entry_point::name: break;
  case entry_point::capital: out.push_back(as_observation(documents.capital)); break;
  case entry_point::city: out.push_back(as_observation(documents.cities[form.city])); break;
  case entry_point::code: out.push_back(as_observation(documents.code)); break;
  case entry_point::domain: out.push_back(as_observation(documents.domain)); break;
  }
  if (form.asked != relation::country) out.push_back(as_observation(documents.country));
  if (form.asked == relation::capital_population) out.push_back(as_observation(documents.capital));
  return out;
}

std::vector<task> write_questions(const std::vector<country_facts>& countries, split part, int count,
                                  std::uint64_t seed) {
  const std::string name = part == split::train ? "train" : "heldout";
  std::vector<task> out;
  for (int hops = 1; hops <= 3; ++hops) {
    random_stream random(
        derive_seed(derive_seed(seed, "questions:" + name), static_cast<std::uint64_t>(hops)));
    const double share = hop_shares[static_cast<std::size_t>(hops) - 1];
    const auto wanted = static_cast<std::size_t>(std::llround(std::max(count, 0) * share));
    int number = 0;
    for (auto& one : draw(countries, part, hops, wanted, random)) {
      one.id = name + "-" + std::to_string(hops) + "h-" + std::to_string(++number);
      out.push_back(std::move(one));
    }
  }
  random_stream random(derive_seed(seed, "order:" + name));
  shuffle(out, random);
  return out;
}

} // namespace troupe
