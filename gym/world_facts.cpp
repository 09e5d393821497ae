#include "gym/world_facts.hpp"

#include <algorithm>
#include <map>

namespace troupe {

namespace {

constexpr std::int64_t fewest_people = 1000;
constexpr std::size_t longest_name = 20;
constexpr std::array<std::string_view, 2> gone{"CS", "AN"}; // Serbia and Montenegro, Netherlands Antilles

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}
bool easy_name(std::string_view name) {
  return !name.empty() && name.size() <= longest_name && letter(name.front()) && letter(name.back()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return letter(c) || c == ' ' || c == '-'; });
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

std::string_view continent_name(std::string_view code) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> names{{{"AF", "Africa"},
                                                                                {"AN", "Antarctica"},
                                                                                {"AS", "Asia"},
                                                                                {"EU", "Europe"},
                                                                                {"NA", "North America"},
                                                                                {"OC", "Oceania"},
                                                                                {"SA", "South America"}}};
  for (const auto& [key, name] : names)
    if (key == code) return name;
  return {};
}

struct raw_country {
  std::string iso, name, capital, continent, currency, phone, domain;
  std::int64_t population = 0;
};
struct raw_city {
  place at;
  std::string country;
  std::vector<std::string> other_names;
};

expected<json::object> read_object(std::string_view text, const std::string& what) {
  auto parsed = json::parse(text);
  if (!parsed) return fail(errc::corrupt, what + ": " + parsed.error().message);
  auto* object = parsed->if_object();
  if (!object)
    return fail(errc::invalid,
                what + ": found a " + std::string(json::type_name(*parsed)) + ", expected an object");
  return std::move(*object);
}

expected<raw_country> read_country(const json::object& from) {
  raw_country out;
  for (auto [key, into] : {std::pair{"iso", &out.iso},
                           {"name", &out.name},
                           {"capital", &out.capital},
                           {"continentcode", &out.continent},
                           {"currencyname", &out.currency},
                           {"phone", &out.phone},
                           {"tld", &out.domain}}) {
    auto text = json::string_at(from, key);
    if (!text) return fail(text.error());
    *into = trimmed(*text);
  }
  auto people = json::int_at(from, "population");
  if (!people) return fail(people.error());
  out.population = *people;
  return out;
}

expected<raw_city> read_city(const json::object& from) {
  raw_city out;
  auto id = json::int_at(from, "geonameid"), people = json::int_at(from, "population");
  auto name = json::string_at(from, "name"), country = json::string_at(from, "countrycode");
  if (!id) return fail(id.error());
  if (!people) return fail(people.error());
  if (!name) return fail(name.error());
  if (!country) return fail(country.error());
  out.at = {std::to_string(*id), trimmed(*name), *people};
  out.country = *country;
  if (const auto* others = from.if_contains("alternatenames"); others && others->is_array())
    for (const auto& one : others->get_array())
      if (one.is_string() && ascii(one.get_string())) out.other_names.emplace_back(one.get_string());
  return out;
}

template <class Raw, class Read>
expected<std::vector<Raw>> read_all(std::string_view text, const std::string& what, Read read) {
  auto root = read_object(text, what);
  if (!root) return fail(root.error());
  std::vector<Raw> out;
  for (const auto& entry : *root) {
    const auto* object = entry.value().if_object();
    auto one = object ? read(*object) : expected<Raw>(fail(errc::invalid, "not an object"));
    if (!one)
      return fail(errc::invalid, what + ", \"" + std::string(entry.key()) + "\": " + one.error().message);
    out.push_back(std::move(*one));
  }
  return out;
}

/// How many countries, capitals, cities bear a name. The ASCII spellings of a city with an accented name
/// count too, because search folds accents.
using name_count = std::map<std::string, int>;

std::int64_t capital_people(const std::string& capital, const std::vector<const raw_city*>& cities) {
  const auto wanted = plain_words(capital);
  std::int64_t exact = 0, other = 0;
  for (const auto* city : cities) {
    if (plain_words(city->at.name) == wanted) exact = std::max(exact, city->at.population);
    for (const auto& name : city->other_names)
      if (plain_words(name) == wanted) other = std::max(other, city->at.population);
  }
  return exact ? exact : other;
}

/// How many of `texts` hold `name` as a run of whole words.
template <class Texts>
int containing(const std::string& name, const Texts& texts) {
  int n = 0;
  for (const auto& text : texts) n += mentions(text, {name});
  return n;
}

std::set<std::string> heldout_names(const std::vector<country_facts>& countries) {
  std::set<std::string> names;
  for (const auto& c : countries) {
    if (!c.heldout) continue;
    names.insert(plain_words(c.name));
    names.insert(plain_words(c.capital.name));
    for (const auto& city : c.cities) names.insert(plain_words(city.name));
  }
  return names;
}

} // namespace

std::string plain_words(std::string_view text) {
  std::string out;
  bool gap = false;
  for (char c : text) {
    if (c == '\'') continue;
    const bool digit = c >= '0' && c <= '9';
    if (!letter(c) && !digit && static_cast<unsigned char>(c) < 0x80) {
      gap = !out.empty();
      continue;
    }
    if (gap) out += ' ';
    gap = false;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

bool mentions(std::string_view text, const std::set<std::string>& names) {
  const auto words = plain_words(text);
  for (std::size_t begin = 0; begin != std::string::npos && begin < words.size();) {
    for (auto end = words.find(' ', begin);; end = words.find(' ', end + 1)) {
      if (names.contains(words.substr(begin, end == std::string::npos ? end : end - begin))) return true;
      if (end == std::string::npos) break;
    }
    begin = words.find(' ', begin);
    if (begin != std::string::npos) ++begin;
  }
  return false;
}

std::string population_text(std::int64_t people) {
  const auto n = std::max(people, fewest_people);
  std::int64_t step = 1;
  while (n / step >= 100) step *= 10;
  const auto rounded = (n + step / 2) / step * step;
  const bool millions = rounded >= 1'000'000;
  const std::int64_t unit = millions ? 1'000'000 : 1000, tenths = rounded / (unit / 10) % 10;
  return std::to_string(rounded / unit) + (tenths ? "." + std::to_string(tenths) : "") +
         (millions ? " million" : " thousand");
}

expected<country_set> read_countries(std::string_view countries, std::string_view cities,
                                     const world_options& options) {
  auto raw = read_all<raw_country>(countries, "the countries file", read_country);
  if (!raw) return fail(raw.error());
  auto raw_cities = read_all<raw_city>(cities, "the cities file", read_city);
  if (!raw_cities) return fail(raw_cities.error());
  std::erase_if(
      *raw, [](const raw_country& c) { return std::find(gone.begin(), gone.end(), c.iso) != gone.end(); });

  name_count city_names, capitals, domains;
  std::set<std::string> country_names, landmarks; // landmarks: countries and capitals
  std::multiset<std::string> code_words;
  std::map<std::string, std::vector<const raw_city*>> by_country;
  for (const auto& city : *raw_cities) {
    by_country[city.country].push_back(&city);
    std::set<std::string> spellings{plain_words(city.at.name)};
    if (!ascii(city.at.name))
      for (const auto& name : city.other_names) spellings.insert(plain_words(name));
    for (const auto& name : spellings) ++city_names[name];
  }
  for (const auto& c : *raw) {
    country_names.insert(plain_words(c.name));
    ++capitals[plain_words(c.capital)];
    code_words.insert(plain_words(c.phone));
    ++domains[c.domain];
    landmarks.insert(plain_words(c.name));
    landmarks.insert(plain_words(c.capital));
  }

  country_set out;
  for (const auto& c : *raw) {
    const auto& own_cities = by_country[c.iso];
    country_facts made{c.iso,        c.name,  std::string(continent_name(c.continent)),
                       c.currency,   c.phone, c.domain,
                       c.population, {},      {}};
    if (made.code.starts_with('+')) made.code.erase(0, 1);
    made.capital = {c.iso, c.capital, capital_people(c.capital, own_cities)};
    const bool complete = !c.name.empty() && !c.capital.empty() && !made.continent.empty() &&
                          !c.currency.empty() && !made.code.empty() && c.domain.size() > 1;
    if (!complete || c.population < fewest_people || made.capital.population < fewest_people) continue;
    made.heldout = uniform_at(derive_seed(options.seed, "heldout:" + c.iso), 0, 0) < options.heldout_share;
    made.own_name = containing(plain_words(c.name), country_names) == 1;
    made.own_capital = capitals[plain_words(c.capital)] == 1 && !mentions(c.capital, country_names);
    made.own_code =
        containing(plain_words(c.phone), code_words) == 1 && c.phone.find(' ') == std::string::npos;
    made.own_domain = domains[c.domain] == 1;
    for (const auto* city : own_cities) {
      const auto words = plain_words(city->at.name);
      if (easy_name(city->at.name) && city_names[words] == 1 && city->at.population >= fewest_people &&
          !mentions(words, landmarks))
        made.cities.push_back(city->at);
    }
    std::sort(made.cities.begin(), made.cities.end(), [](const place& a, const place& b) {
      return a.population != b.population ? a.population > b.population : a.id < b.id;
    });
    out.countries.push_back(std::move(made));
  }
  if (out.countries.empty())
    return fail(errc::invalid, "the countries file: found no country with all facts, expected some");
  std::sort(out.countries.begin(), out.countries.end(),
            [](const auto& a, const auto& b) { return a.iso < b.iso; });

  const auto most = static_cast<std::size_t>(std::max(options.cities_per_country, 0));
  for (auto& c : out.countries)
    if (c.heldout && c.cities.size() > most) c.cities.resize(most);
  const auto secret = heldout_names(out.countries);
  std::set<std::string> pool;
  for (auto& c : out.countries) {
    if (c.heldout) continue;
    std::erase_if(c.cities, [&](const place& city) { return mentions(city.name, secret); });
    for (const auto& city : c.cities) pool.insert(city.name);
    if (c.cities.size() > most) c.cities.resize(most);
  }
  out.invented_names.assign(pool.begin(), pool.end());
  return out;
}

} // namespace troupe
