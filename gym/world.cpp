#include "gym/world.hpp"

#include "gym/world_facts.hpp"
#include <map>

namespace troupe {

expected<world> world::build(std::string_view countries, std::string_view cities,
                             const world_options& options) {
  if (!(options.heldout_share >= 0 && options.heldout_share <= 1))
    return fail(errc::invalid,
                "heldout_share: found " + std::to_string(options.heldout_share) + ", expected 0 to 1");
  auto set = read_countries(countries, cities, options);
  if (!set) return fail(set.error());
  auto out = std::make_shared<facts>();
  out->set = std::move(*set);
  const auto& all = out->set.countries;
  std::map<std::string, std::vector<std::string>> by_code, by_domain;
  for (const auto& c : all) {
    by_code[c.code].push_back(c.name);
    by_domain[c.domain].push_back(c.name);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& c = all[i];
    random_stream random(derive_seed(options.seed, "documents:" + c.iso));
    out->documents.push_back(write_documents(c, by_code[c.code], by_domain[c.domain], random));
    if (!c.heldout)
      out->train.push_back(i);
    else
      out->heldout_codes.insert(c.code), out->heldout_domains.insert(c.domain);
  }
  if (out->train.empty())
    return fail(errc::invalid, "heldout_share " + std::to_string(options.heldout_share) + " leaves none of " +
                                   std::to_string(all.size()) + " countries for training");
  out->tasks = write_questions(all, split::train, options.train_questions, options.seed);
  for (auto& one : write_questions(all, split::heldout, options.heldout_questions, options.seed))
    out->tasks.push_back(std::move(one));
  return world(std::move(out));
}

std::string world::corpus_jsonl() const {
  std::string out;
  std::set<std::string> written;
  const auto add = [&](const corpus_document& one) {
    if (!written.insert(one.id).second) return; // a code or domain of several countries
    (out += json::dump(json::object{{"id", one.id}, {"title", one.title}, {"text", one.text}})) += '\n';
  };
  for (std::size_t i = 0; i < facts_->documents.size(); ++i) {
    const auto& of = facts_->documents[i];
    add(of.country);
    // A capital whose name mentions a country would take the place of that country's document in a search.
    if (facts_->set.countries[i].own_capital) add(of.capital);
    for (const auto& city : of.cities) add(city);
    add(of.code);
    add(of.domain);
  }
  return out;
}

const std::vector<task>& world::tasks() const { return facts_->tasks; }

} // namespace troupe
