#include "gpu/bpe.hpp"
#include "gpu/byte_symbols.hpp"
#include "gpu/text/post_processor.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/json.hpp"

#include <algorithm>

namespace troupe {

namespace {

json::object byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

using symbol_ids = std::unordered_map<std::string_view, token>;

/// The id that a map of symbols gives, or an error that names the symbol.
expected<token> id_of(const symbol_ids& ids, std::string_view symbol) {
  const auto found = ids.find(symbol);
  if (found == ids.end()) return fail(errc::corrupt, "the vocabulary lacks \"" + std::string(symbol) + "\"");
  return found->second;
}

expected<std::pair<std::string_view, std::string_view>> merge_sides(const json::value& rule) {
  if (auto* pair = rule.if_array();
      pair && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string())
    return std::pair<std::string_view, std::string_view>{(*pair)[0].as_string(), (*pair)[1].as_string()};
  if (auto* line = rule.if_string()) { // the older spelling: "left right"
    const std::string_view text = *line;
    if (const auto gap = text.find(' '); gap != text.npos)
      return std::pair{text.substr(0, gap), text.substr(gap + 1)};
  }
  return fail(errc::corrupt, "a merge is " + json::dump(rule) + ", expected a pair of symbols");
}

bool flag(const json::object& from, std::string_view key) {
  const auto* found = from.if_contains(key);
  return found && found->is_bool() && found->as_bool();
}

const json::value& part(const json::object& from, std::string_view key) {
  static const json::value nothing;
  const auto* found = from.if_contains(key);
  return found ? *found : nothing;
}

/// Fills a tokenizer's tables from the parts of the file, in the order of the functions; each gives the first error.
class reader {
public:
  reader(const json::object& root, tokenizer_parts& parts) : root_(root), parts_(parts) {}

  expected<void> open() {
    const auto model = json::object_at(root_, "model");
    if (!model) return fail(errc::corrupt, model.error().message);
    model_ = *model;
    if (const auto type = json::string_at(*model_, "type"); !type || *type != "BPE")
      return fail(errc::invalid,
                  "the model is " + (type ? "\"" + *type + "\"" : "untyped") + ", expected \"BPE\"");
    for (auto key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const auto& found = part(*model_, key); !found.is_null() && found != json::value(""))
        return fail(errc::invalid, std::string(key) + " is " + json::dump(found) + ", supported is null");
    if (flag(*model_, "byte_fallback"))
      return fail(errc::invalid, "byte_fallback is true: this is no byte-level model");
    parts_ = {part(root_, "normalizer"), part(root_, "pre_tokenizer"), part(root_, "post_processor"),
              part(root_, "decoder")};
    const auto vocab = json::object_at(*model_, "vocab");
    const auto merges = json::array_at(*model_, "merges"), added = json::array_at(root_, "added_tokens");
    for (const error* why : {vocab ? nullptr : &vocab.error(), merges ? nullptr : &merges.error(),
                             added ? nullptr : &added.error()})
      if (why) return fail(errc::corrupt, why->message);
    vocab_ = *vocab, merges_ = *merges, added_ = *added;
    return {};
  }

  /// Ids may have holes, but not so many that a short file asks for much memory.
  bool possible(std::int64_t id) const {
    return id >= 0 && static_cast<std::uint64_t>(id) < 4 * (vocab_->size() + added_->size()) + 65536;
  }

  template <class Tables>
  expected<void> read_added(Tables& to) {
    for (auto& item : *added_) {
      const auto* from = item.if_object();
      if (!from) return fail(errc::corrupt, "an added token is not an object");
      const auto id = json::int_at(*from, "id");
      const auto name = json::string_at(*from, "content");
      if (!id || !name) return fail(errc::corrupt, "an added token lacks its id or content");
      if (!possible(*id))
        return fail(errc::corrupt, "added token \"" + *name + "\" has the id " + std::to_string(*id));
      if (const auto* known = vocab_->if_contains(*name); known && *known != json::value(*id))
        return fail(errc::invalid,
                    "added token \"" + *name + "\" has not the id that the vocabulary gives it");
      const auto at = static_cast<std::size_t>(*id);
      grow(to, at);
      if (to.added_ids[at])
        return fail(errc::corrupt, "the id " + std::to_string(*id) + " is given to two added tokens");
      if (!to.names.emplace(*name, static_cast<token>(*id)).second)
        return fail(errc::corrupt, "added token \"" + *name + "\" is given twice");
      to.added_ids[at] = true;
      to.special_ids[at] = flag(*from, "special");
      to.bytes[at] = *name;
      to.added.push_back({static_cast<token>(*id), *name, flag(*from, "single_word"), flag(*from, "lstrip"),
                          flag(*from, "rstrip"), flag(*from, "normalized"), flag(*from, "special")});
    }
    return {};
  }

  template <class Tables>
  expected<void> read_vocabulary(Tables& to) {
    std::vector<bool> seen(to.bytes.size());
    symbols_.reserve(vocab_->size());
    for (auto& [symbol, id] : *vocab_) {
      const auto* number = id.if_int64();
      const bool fine = number && possible(*number);
      const auto at = fine ? static_cast<std::size_t>(*number) : 0;
      if (fine) grow(to, at);
      seen.resize(to.bytes.size());
      if (!fine || seen[at])
        return fail(errc::corrupt, "the id of \"" + std::string(symbol) + "\" is " + json::dump(id) +
                                       ", expected each id once, and few left out");
      seen[at] = true;
      if (to.added_ids[at]) {
        if (to.bytes[at] != std::string_view(symbol))
          return fail(errc::invalid, "the id " + std::to_string(at) + " is added token \"" + to.bytes[at] +
                                         "\" and \"" + std::string(symbol) + "\" in the vocabulary");
      } else if (auto text = symbols_to_bytes(symbol)) {
        to.bytes[at] = std::move(*text);
      } else {
        return fail(errc::corrupt, text.error().message);
      }
      symbols_.emplace(symbol, static_cast<token>(at));
    }
    bool any = false;
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = symbols_.find(bytes_to_symbols(std::string(1, static_cast<char>(byte))));
      to.byte_ids[byte] = found == symbols_.end() ? -1 : found->second;
      any = any || to.byte_ids[byte] >= 0;
    }
    if (!any)
      return fail(errc::invalid, "the vocabulary has none of the 256 bytes: this is no byte-level model");
    if (const auto& name = part(*model_, "unk_token"); !name.is_null()) {
      if (!name.is_string())
        return fail(errc::corrupt, "unk_token is " + json::dump(name) + ", expected a string");
      const auto id = id_of(symbols_, name.as_string());
      if (id) to.unknown = *id; // otherwise it can never be said
      to.fuse_unknown = flag(*model_, "fuse_unk");
    }
    if (flag(*model_, "ignore_merges"))
      for (auto& [symbol, id] :
           symbols_) // an added token is found by name, never forged by a word that reads like it
        if (const auto at = static_cast<std::size_t>(id); !to.added_ids[at])
          to.whole.emplace(to.bytes[at], id);
    return {};
  }

  template <class Tables>
  expected<void> read_merges(Tables& to) {
    to.merges.reserve(merges_->size());
    std::string both;
    for (auto& item : *merges_) {
      const auto sides = merge_sides(item);
      if (!sides) return fail(sides.error());
      both.assign(sides->first), both.append(sides->second);
      const auto left = id_of(symbols_, sides->first), right = id_of(symbols_, sides->second),
                 result = id_of(symbols_, both);
      for (auto* id : {&left, &right, &result})
        if (!*id) return fail(errc::corrupt, id->error().message + ", which a merge names");
      to.merges.push_back({*left, *right, *result});
    }
    return {};
  }

  template <class Tables>
  expected<void> read_rules(Tables& to) {
    auto normal = normalizer::from_json(parts_.normalizer);
    if (!normal) return fail(normal.error());
    to.normal = std::move(*normal);
    to.own_split = to.normal.does_nothing() && parts_.pre_tokenizer == own_parts().pre_tokenizer;
    if (!to.own_split) {
      auto splits = pre_tokenizer::from_json(parts_.pre_tokenizer);
      if (!splits) return fail(splits.error());
      to.splits = std::move(*splits);
    }
    auto around = read_post_processor(parts_.post_processor);
    if (!around) return fail(around.error());
    for (auto& ids : {around->before, around->after})
      for (auto id : ids)
        if (static_cast<std::size_t>(id) >= to.bytes.size())
          return fail(errc::corrupt,
                      "the post-processor names the id " + std::to_string(id) + ", which no token has");
    to.before = std::move(around->before), to.after = std::move(around->after);
    return {};
  }

private:
  template <class Tables>
  static void grow(Tables& to, std::size_t id) {
    if (id < to.bytes.size()) return;
    to.bytes.resize(id + 1);
    to.added_ids.resize(id + 1);
    to.special_ids.resize(id + 1);
  }

  const json::object& root_;
  tokenizer_parts& parts_;
  const json::object *model_ = nullptr, *vocab_ = nullptr;
  const json::array *merges_ = nullptr, *added_ = nullptr;
  symbol_ids symbols_; ///< views into the document
};

} // namespace

tokenizer_parts own_parts() {
  json::object split{{"type", "Split"},
                     {"pattern", json::object{{"Regex", split_pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}};
  return {.normalizer = nullptr,
          .pre_tokenizer = json::object{{"type", "Sequence"},
                                        {"pretokenizers", json::array{std::move(split), byte_level()}}},
          .post_processor = nullptr,
          .decoder = byte_level()};
}

expected<void> tokenizer::save(const std::filesystem::path& file) const {
  const auto& t = *tables_;
  json::array added;
  for (auto& one : t.added)
    added.push_back(json::object{{"id", one.id},
                                 {"content", one.content},
                                 {"single_word", one.single_word},
                                 {"lstrip", one.lstrip},
                                 {"rstrip", one.rstrip},
                                 {"normalized", one.normalized},
                                 {"special", one.special}});
  json::object vocab;
  auto symbol = [&](token id) { return t.added_ids[id] ? t.bytes[id] : bytes_to_symbols(t.bytes[id]); };
  for (token id = 0; id < vocab_size(); ++id)
    if (!t.bytes[id].empty()) vocab.emplace(symbol(id), id);
  json::array merges;
  for (auto& rule : t.merges) merges.push_back(json::array{symbol(rule.left), symbol(rule.right)});
  json::object model{{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", nullptr},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", t.fuse_unknown},
                     {"byte_fallback", false},
                     {"ignore_merges", !t.whole.empty()},
                     {"vocab", std::move(vocab)},
                     {"merges", std::move(merges)}};
  if (t.unknown >= 0) model["unk_token"] = symbol(t.unknown);
  json::object root{{"version", "1.0"},
                    {"truncation", nullptr},
                    {"padding", nullptr},
                    {"added_tokens", std::move(added)},
                    {"normalizer", t.parts.normalizer},
                    {"pre_tokenizer", t.parts.pre_tokenizer},
                    {"post_processor", t.parts.post_processor},
                    {"decoder", t.parts.decoder},
                    {"model", std::move(model)}};
  return write_file_atomically(file, json::dump(root));
}

expected<tokenizer> tokenizer::from_json(const json::object& root, const std::string& name) {
  auto made = std::make_shared<tables>();
  reader from(root, made->parts);
  auto done = from.open();
  if (done) done = from.read_added(*made);
  if (done) done = from.read_vocabulary(*made);
  if (done) done = from.read_merges(*made);
  if (done) done = from.read_rules(*made);
  if (!done) return fail(done.error().code, "tokenizer " + name + ": " + done.error().message);
  made->make_indices();
  return tokenizer(std::move(made));
}

expected<tokenizer> tokenizer::load(const std::filesystem::path& file) {
  const auto bytes = read_file(file);
  if (!bytes) return fail(bytes.error());
  const auto root = json::parse(*bytes);
  const auto name = "tokenizer " + file.string() + ": ";
  if (!root) return fail(errc::corrupt, name + root.error().message);
  if (!root->is_object())
    return fail(errc::corrupt,
                name + "found a " + std::string(json::type_name(*root)) + ", expected an object");
  return from_json(root->as_object(), file.string());
}

} // namespace troupe
