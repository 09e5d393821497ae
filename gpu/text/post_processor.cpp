#include "gpu/text/post_processor.hpp"

#include <limits>

namespace troupe {

namespace {

/// {"SpecialToken": {"id": "<s>", "type_id": 0}}, whose ids the template lists under "special_tokens".
expected<void> append_ids(const json::object& item, const json::object& tokens,
                          std::vector<std::int32_t>& to) {
  const auto special = json::object_at(item, "SpecialToken");
  if (!special) return fail(special.error());
  const auto name = json::string_at(**special, "id");
  if (!name) return fail(name.error());
  const auto entry = json::object_at(tokens, *name);
  if (!entry)
    return fail(errc::invalid, "the template names \"" + *name + "\", which its special_tokens lack");
  const auto ids = json::array_at(**entry, "ids");
  if (!ids) return fail(ids.error());
  for (auto& id : **ids) {
    const auto* number = id.if_int64();
    if (!number || *number < 0 || *number > std::numeric_limits<std::int32_t>::max())
      return fail(errc::invalid, "the id " + json::dump(id) + " of \"" + *name + "\" is no token");
    to.push_back(static_cast<std::int32_t>(*number));
  }
  return {};
}

expected<void> add(const json::value& from, text_template& to, int depth) {
  if (from.is_null()) return {};
  const auto* fields = from.if_object();
  if (!fields || depth > 8) return fail(errc::invalid, "a post-processor is not an object");
  const auto type = json::string_at(*fields, "type");
  if (!type) return fail(type.error());
  if (*type == "ByteLevel") return {};
  if (*type == "Sequence") {
    const auto inner = json::array_at(*fields, "processors");
    if (!inner) return fail(inner.error());
    for (auto& one : **inner)
      if (auto added = add(one, to, depth + 1); !added) return added;
    return {};
  }
  if (*type != "TemplateProcessing")
    return fail(errc::invalid, "the post-processor \"" + *type + "\" is not supported");
  const auto single = json::array_at(*fields, "single");
  const auto tokens = json::object_at(*fields, "special_tokens");
  if (!single) return fail(single.error());
  if (!tokens) return fail(tokens.error());
  text_template made;
  bool text_seen = false;
  for (auto& item : **single) {
    const auto* part = item.if_object();
    if (!part) return fail(errc::invalid, "a part of the template is not an object");
    if (part->contains("Sequence")) {
      if (std::exchange(text_seen, true))
        return fail(errc::invalid, "a template with the text twice is not supported");
    } else if (auto added = append_ids(*part, **tokens, text_seen ? made.after : made.before); !added) {
      return added;
    }
  }
  if (!text_seen) return fail(errc::invalid, "a template without the text is not supported");
  to.before.insert(to.before.begin(), made.before.begin(), made.before.end());
  to.after.insert(to.after.end(), made.after.begin(), made.after.end());
  return {};
}

} // namespace

expected<text_template> read_post_processor(const json::value& from) {
  text_template out;
  if (auto added = add(from, out, 0); !added) return fail(added.error());
  return out;
}

} // namespace troupe
