// Scripted demonstrations. Each is written with the functions that episodes use (gym/chat.hpp), so the format
// is theirs.
#include "gym/chat.hpp"
#include "gym/world_facts.hpp"
#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

template <class Container>
const auto& one_of(const Container& from, random_stream& random) {
  return from[random.below(from.size())];
}

/// An index with probability in proportion to its weight; the first if all are 0.
std::size_t draw_index(const std::vector<double>& weights, random_stream& random) {
  double sum = 0;
  for (double w : weights) sum += std::max(w, 0.0);
  double left = random.uniform() * sum;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    left -= std::max(weights[i], 0.0);
    if (left < 0) return i;
  }
  return 0;
}

std::int64_t log_uniform(double low, double high, random_stream& random) {
  return static_cast<std::int64_t>(
      std::exp(std::log(low) + random.uniform() * (std::log(high) - std::log(low))));
}

/// What a demonstration is written from.
struct script {
  country_facts about;
  country_documents documents;
  question_form form;
  std::string question, answer;
  std::vector<std::string> queries, observations;
};

class writer {
public:
  explicit writer(const std::string& question) { context(user_pieces(question)); }

  writer& call(const std::string& query) {
    return raw_call(R"({"name":"search","arguments":{"queries":[)" + json::dump(json::value(query)) + "]}}");
  }
  writer& open(const std::string& title) {
    return raw_call(R"({"name":"open","arguments":{"id":)" + json::dump(json::value(title)) + "}}");
  }
  writer& raw_call(std::string body) {
    role();
    learn({{true, "<tool_call>"},
           {false, std::move(body)},
           {true, "</tool_call>"},
           {true, std::string(end_token)}});
    return *this;
  }
  writer& observe(const std::string& text) {
    context(tool_pieces({{text, false}}, episode_limits{}.max_observation_chars));
    return *this;
  }
  writer& answer(const std::string& text) {
    role();
    learn({{true, "<answer>"}, {false, text}, {true, "</answer>"}, {true, std::string(end_token)}});
    return *this;
  }
  demonstration take() { return std::move(out_); }

private:
  void role() { context({assistant_role()}); }
  void context(std::vector<text_piece> pieces) {
    for (auto& piece : pieces) out_.push_back({std::move(piece), false});
  }
  void learn(std::vector<text_piece> pieces) {
    for (auto& piece : pieces) out_.push_back({std::move(piece), true});
  }
  demonstration out_;
};

std::string malformed_call(const std::string& query, random_stream& random) {
  const auto quoted = json::dump(json::value(query));
  switch (random.below(3)) {
  case 0: return R"({"name":"search","arguments":{"queries":[)" + quoted + "}}"; // no bracket
  case 1:
    return R"({"name":"search","arguments":{"queries":[)" + quoted.substr(0, quoted.size() - 1) +
           "]}}";                                                                  // no quote
  default: return R"({"name":"lookup","arguments":{"queries":[)" + quoted + "]}}"; // no such tool
  }
}

/// What `open` shows of the document of which a search shows `observation`: no title, and its pages.
std::string page_text(const std::string& observation) {
  const auto title_end = observation.find(": ");
  return observation.substr(title_end == observation.npos ? 0 : title_end + 2) + "\npage 1 of 1";
}

/// Another fact of the last document than the one asked for.
std::string wrong_field(const script& from, random_stream& random) {
  if (from.form.asked == relation::country)
    return population_text(from.about.cities[from.form.city].population);
  if (from.form.asked == relation::capital_population) return from.about.name;
  std::vector<std::string> others{population_text(from.about.population)};
  for (auto asked :
       {relation::capital, relation::currency, relation::continent, relation::code, relation::domain})
    if (asked != from.form.asked) others.push_back(answer_text(from.about, asked));
  return one_of(others, random);
}

} // namespace

country_facts invent_country(const country_set& set, const std::vector<std::size_t>& train,
                             const std::set<std::string>& heldout_codes,
                             const std::set<std::string>& heldout_domains, random_stream& random) {
  country_facts out;
  const auto name = [&] { return one_of(set.invented_names, random); };
  const auto record = [&]() -> const country_facts& { return set.countries[one_of(train, random)]; };
  out.name = name();
  do out.capital.name = name();
  while (out.capital.name == out.name);
  place city{"invented", name(), log_uniform(15e3, 5e6, random)};
  while (city.name == out.name || city.name == out.capital.name) city.name = name();
  out.cities.push_back(std::move(city));
  out.capital.population = log_uniform(2e3, 2e7, random);
  out.population = log_uniform(1e4, 3e8, random);
  out.continent = record().continent;
  out.currency = random.chance(.5) ? record().currency : name();
  do {
    const auto longest = random.chance(.15) ? 2u : 3u;
    out.code = random.chance(.1) ? "1-" : "";
    out.code += std::to_string(longest == 2 ? 10 + random.below(90) : 100 + random.below(900));
  } while (heldout_codes.contains(out.code));
  const auto letter = [&] { return static_cast<char>('a' + random.below(26)); };
  do {
    out.domain = ".";
    out.domain += letter();
    out.domain += letter();
  } while (heldout_domains.contains(out.domain));
  return out;
}

demonstration world::demonstrate(const mixture& mix, random_stream& random) const {
  const auto& set = facts_->set;
  const bool fictional = set.invented_names.size() >= 3 && random.chance(mix.fictional);
  const auto invent = [&] {
    return invent_country(set, facts_->train, facts_->heldout_codes, facts_->heldout_domains, random);
  };

  const bool drill = random.chance(mix.drills);
  enum { good, useless, lazy, guess, wrong, malformed };
  const auto strategy =
      draw_index({mix.good, mix.useless, mix.lazy, mix.guess, mix.wrong_field, mix.malformed}, random);
  const bool reads = drill && random.chance(mix.reading);
  const bool numeric = reads && random.chance(mix.digits);
  const bool bridges = drill && !reads && random.chance(mix.bridging);

  // -- the question
  script it;
  std::vector<std::vector<question_form>> kinds;
  for (int attempt = 0; kinds.empty() && attempt < 1000; ++attempt) {
    int hops = 1 + static_cast<int>(draw_index({mix.hops.begin(), mix.hops.end()}, random));
    if (bridges) hops = std::max(hops, 2);
    const auto real = fictional ? 0 : one_of(facts_->train, random);
    if (fictional) {
      it.about = invent();
      it.documents = write_documents(it.about, {it.about.name}, {it.about.name}, random);
    } else {
      it.about = set.countries[real];
      it.documents = facts_->documents[real];
    }
    kinds = question_forms(it.about, hops);
    if (numeric)
      std::erase_if(kinds, [](const auto& forms) {
        return forms[0].asked != relation::code && forms[0].asked != relation::capital_population;
      });
  }
  if (kinds.empty())
    kinds = {{{relation::continent, entry_point::name, 0, 0}}}; // a world too small for the mixture
  it.form = one_of(one_of(kinds, random), random);
  it.question = question_text(it.about, it.form);
  it.answer = answer_text(it.about, it.form.asked);
  it.queries = oracle_queries(it.about, it.form);
  it.observations = oracle_observations(it.documents, it.form);

  // -- what is done about it
  writer out(it.question);
  const auto opens = [&](std::size_t step) { return step > 0 && mix.opens > 0 && random.chance(mix.opens); };
  if (reads) {
    const auto& last = it.observations.back();
    return out.observe(opens(it.observations.size() - 1) ? page_text(last) : last).answer(it.answer).take();
  }
  if (bridges && it.queries.size() > 1) {
    const auto step = 1 + random.below(it.queries.size() - 1);
    out.observe(it.observations[step - 1]);
    return (opens(step) ? out.open(it.queries[step]) : out.call(it.queries[step])).take();
  }
  if (drill) return out.call(it.queries[0]).take();

  const auto plausible = [&] {
    // A wrong answer of the right kind: what a policy that does not search would say. A small world may have
    // no other.
    std::string text = it.answer;
    for (int attempt = 0; text == it.answer && attempt < 100; ++attempt)
      text = answer_text(fictional ? invent() : set.countries[one_of(facts_->train, random)], it.form.asked);
    return text;
  };
  if (strategy == guess) return out.answer(plausible()).take();
  if (strategy == useless) out.call(it.queries[0]).observe(it.observations[0]);
  const std::size_t steps = it.queries.size() - (strategy == lazy ? 1 : 0);
  const std::size_t breaks = strategy == malformed ? random.below(steps) : steps;
  for (std::size_t i = 0; i < steps; ++i) {
    if (i == breaks) return out.raw_call(malformed_call(it.queries[i], random)).take();
    if (opens(i))
      out.open(it.queries[i]).observe(page_text(it.observations[i]));
    else
      out.call(it.queries[i]).observe(it.observations[i]);
  }
  if (strategy == lazy) return out.answer(plausible()).take();
  return out.answer(strategy == wrong ? wrong_field(it, random) : it.answer).take();
}

} // namespace troupe
