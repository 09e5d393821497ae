#include "gpu/bpe.hpp"
#include "gpu/byte_symbols.hpp"
#include "runtime/base/file.hpp"
#include "runtime/base/json.hpp"

#include <algorithm>

namespace troupe {

namespace {

json::object byte_level(std::string_view type) {
  return {{"type", type}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

json::object pre_tokenizer() {
  json::object split{{"type", "Split"},
                     {"pattern", json::object{{"Regex", split_pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", json::array{std::move(split), byte_level("ByteLevel")}}};
}

/// The id that a map of symbols gives, or an error that names the symbol.
expected<token> id_of(const std::unordered_map<std::string, token>& ids, std::string_view symbol) {
  const auto found = ids.find(std::string(symbol));
  if (found == ids.end()) return fail(errc::corrupt, "the vocabulary lacks \"" + std::string(symbol) + "\"");
  return found->second;
}

expected<std::pair<std::string, std::string>> merge_sides(const json::value& rule) {
  if (auto* pair = rule.if_array();
      pair && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string())
    return std::pair{std::string((*pair)[0].as_string()), std::string((*pair)[1].as_string())};
  if (auto* line = rule.if_string()) { // the older spelling: "left right"
    const std::string_view text = *line;
    if (const auto gap = text.find(' '); gap != text.npos)
      return std::pair{std::string(text.substr(0, gap)), std::string(text.substr(gap + 1))};
  }
  return fail(errc::corrupt, "a merge is " + json::dump(rule) + ", expected a pair of symbols");
}

} // namespace

expected<void> tokenizer::save(const std::filesystem::path& file) const {
  const auto& t = *tables_;
  json::array added;
  for (token id = 0; id < vocab_size(); ++id)
    if (t.special_ids[id])
      added.push_back(json::object{{"id", id},
                                   {"content", t.bytes[id]},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", true}});
  json::object vocab;
  auto symbol = [&](token id) { return t.special_ids[id] ? t.bytes[id] : bytes_to_symbols(t.bytes[id]); };
  for (token id = 0; id < vocab_size(); ++id) vocab.emplace(symbol(id), id);
  json::array merges;
  for (auto& rule : t.merges) merges.push_back(json::array{symbol(rule.left), symbol(rule.right)});
  json::object model{{"type", "BPE"},
                     {"dropout", nullptr},
                     {"unk_token", nullptr},
                     {"continuing_subword_prefix", nullptr},
                     {"end_of_word_suffix", nullptr},
                     {"fuse_unk", false},
                     {"byte_fallback", false},
                     {"ignore_merges", false},
                     {"vocab", std::move(vocab)},
                     {"merges", std::move(merges)}};
  json::object root{{"version", "1.0"},          {"truncation", nullptr},
                    {"padding", nullptr},        {"added_tokens", std::move(added)},
                    {"normalizer", nullptr},     {"pre_tokenizer", pre_tokenizer()},
                    {"post_processor", nullptr}, {"decoder", byte_level("ByteLevel")},
                    {"model", std::move(model)}};
  return write_file_atomically(file, json::dump(root));
}

expected<tokenizer> tokenizer::load(const std::filesystem::path& file) {
  auto bytes = read_file(file);
  if (!bytes) return fail(bytes.error());
  auto bad = [&](errc code, const std::string& why) {
    return fail(code, "tokenizer " + file.string() + ": " + why);
  };
  auto root = json::parse(*bytes);
  if (!root) return bad(errc::corrupt, root.error().message);
  if (!root->is_object())
    return bad(errc::corrupt, "found a " + std::string(json::type_name(*root)) + ", expected an object");
  const auto& top = root->as_object();
  auto model = json::object_at(top, "model");
  if (!model) return bad(errc::corrupt, model.error().message);
  if (auto type = json::string_at(**model, "type"); !type || *type != "BPE")
    return bad(errc::invalid,
               "the model is " + (type ? "\"" + *type + "\"" : "untyped") + ", expected \"BPE\"");
  const auto* split = top.if_contains("pre_tokenizer");
  if (!split || *split != json::value(pre_tokenizer()))
    return bad(errc::invalid, "its pre-tokenizer is not the split that this tokenizer makes (" +
                                  std::string(split_pattern) + ")");
  auto vocab = json::object_at(**model, "vocab");
  auto rules = json::array_at(**model, "merges");
  auto added = json::array_at(top, "added_tokens");
  for (const error* why :
       {vocab ? nullptr : &vocab.error(), rules ? nullptr : &rules.error(), added ? nullptr : &added.error()})
    if (why) return bad(errc::corrupt, why->message);

  auto made = std::make_shared<tables>();
  const auto size = (*vocab)->size();
  made->special_ids.assign(size, false);
  for (auto& item : **added) {
    const auto* special = item.if_object();
    if (!special) return bad(errc::corrupt, "an added token is not an object");
    auto id = json::int_at(*special, "id");
    auto name = json::string_at(*special, "content");
    if (!id || !name) return bad(errc::corrupt, "an added token lacks its id or content");
    const auto* found = (*vocab)->if_contains(*name);
    if (!found || *found != json::value(*id))
      return bad(errc::invalid, "added token \"" + *name + "\" has not the id that the vocabulary gives it");
    if (*id < 0 || *id >= static_cast<std::int64_t>(size))
      return bad(errc::corrupt, "added token \"" + *name + "\" has the id " + std::to_string(*id));
    if (!made->specials.emplace(*name, static_cast<token>(*id)).second)
      return bad(errc::corrupt, "added token \"" + *name + "\" is given twice");
    made->special_ids[static_cast<std::size_t>(*id)] = true;
  }
  std::unordered_map<std::string, token> ids; // of symbols
  std::vector<bool> seen(size, false);
  made->bytes.resize(size);
  for (auto& [symbol, id] : **vocab) {
    const auto* number = id.if_int64();
    if (!number || *number < 0 || *number >= static_cast<std::int64_t>(size) ||
        seen[static_cast<std::size_t>(*number)])
      return bad(errc::corrupt, "the id of \"" + std::string(symbol) + "\" is " + json::dump(id) +
                                    ", expected each of 0 to " + std::to_string(size - 1) + " once");
    const auto at = static_cast<std::size_t>(*number);
    seen[at] = true;
    if (made->special_ids[at]) {
      made->bytes[at] = std::string(symbol);
      continue;
    }
    auto text = symbols_to_bytes(symbol);
    if (!text) return bad(errc::corrupt, text.error().message);
    made->bytes[at] = std::move(*text);
    ids.emplace(symbol, static_cast<token>(at));
  }
  for (int byte = 0; byte < 256; ++byte) {
    auto id = id_of(ids, bytes_to_symbols(std::string(1, static_cast<char>(byte))));
    if (!id) return bad(errc::invalid, id.error().message + ", expected all 256 bytes");
    made->byte_ids[byte] = *id;
  }
  for (auto& item : **rules) {
    auto sides = merge_sides(item);
    if (!sides) return bad(errc::corrupt, sides.error().message);
    auto left = id_of(ids, sides->first), right = id_of(ids, sides->second),
         result = id_of(ids, sides->first + sides->second);
    for (auto* id : {&left, &right, &result})
      if (!*id) return bad(errc::corrupt, id->error().message + ", which a merge names");
    made->merges.push_back({*left, *right, *result});
  }
  made->index_merges();
  return tokenizer(std::move(made));
}

} // namespace troupe
