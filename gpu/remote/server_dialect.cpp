#include "gpu/remote/server_dialect.hpp"

namespace troupe::remote {

question ask_models() { return {"GET", "/v1/models"}; }

expected<served_model> read_models(const json::value& answer) {
  const auto* body = answer.if_object();
  if (!body) return fail(errc::invalid, "found a list of models that is no object");
  const auto list = json::array_at(*body, "data");
  if (!list) return fail(list.error());
  if ((*list)->empty() || !(*list)->front().is_object())
    return fail(errc::invalid, "found a list of models without one, expected the model that is served");
  const auto& first = (*list)->front().get_object();
  auto name = json::string_at(first, "id");
  if (!name) return fail(name.error());
  return served_model{std::move(*name), json::string_at(first, "owned_by").value_or(""),
                      json::int_at(first, "max_model_len").value_or(0)};
}

question server_dialect::ask_probe(const generate_request& one, int vocabulary, const std::string& model,
                                   const std::string& id) const {
  auto last = one;
  last.context = {vocabulary - 1};
  return ask_completion(last, model, id);
}

const server_dialect& dialect_of(std::string_view owner) {
  for (const auto* one : {&vllm_dialect(), &sglang_dialect()})
    if (one->name() == owner) return *one;
  return troupe_dialect();
}

http::header_list headers_of(const std::string& key) {
  http::header_list out{{"Content-Type", "application/json"}};
  if (!key.empty()) out.emplace_back("Authorization", "Bearer " + key);
  return out;
}

std::string server_at(const std::string& url) { return "the engine's server at " + url; }

bool may_pass(int status) { return status == 408 || status == 409 || status == 429 || status >= 500; }

std::string status_text(const http::response& answer) {
  auto out = std::to_string(answer.status) + " " + std::string(http::reason(answer.status));
  std::string said = answer.body.substr(0, 300);
  if (const auto parsed = json::parse(answer.body); parsed && parsed->is_object()) {
    const auto& body = parsed->get_object();
    if (const auto inner = json::object_at(body, "error"))
      said = json::string_at(**inner, "message").value_or(said);
    else
      for (const char* key : {"error", "message", "detail"}) // vLLM's, SGLang's, FastAPI's
        if (const auto text = json::string_at(body, key); text && !text->empty()) {
          said = text->substr(0, 300);
          break;
        }
  }
  return said.empty() ? out : out + ": " + said;
}

} // namespace troupe::remote
