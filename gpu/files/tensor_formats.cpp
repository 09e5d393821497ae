#include "gpu/files/tensor_formats.hpp"

#include "gpu/files/gguf.hpp"
#include "gpu/files/hf_model.hpp"
#include "gpu/files/mapped_file.hpp"
#include "gpu/safetensors.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

namespace troupe {

namespace fs = std::filesystem;

namespace {

class tally {
public:
  void add(std::string_view format, const std::vector<std::int64_t>& shape, std::size_t bytes) {
    auto& one = found_[std::string(format)];
    ++one.tensors;
    one.weights += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    one.bytes += static_cast<std::int64_t>(bytes);
  }
  std::vector<tensor_format> sorted() const {
    std::vector<tensor_format> out;
    for (const auto& [name, one] : found_) out.push_back(one), out.back().name = name;
    std::stable_sort(out.begin(), out.end(), [](auto& a, auto& b) { return a.bytes > b.bytes; });
    return out;
  }

private:
  std::map<std::string, tensor_format> found_;
};

std::string_view name_of(ggml_type type) {
  const auto layout = ggml_layout_of(static_cast<std::uint32_t>(type));
  return layout ? layout->name : "?";
}

} // namespace

expected<std::vector<tensor_format>> tensor_formats_of(const fs::path& place) {
  tally out;
  if (!fs::is_directory(place)) {
    const auto file = mapped_file::open(place);
    if (!file) return fail(file.error());
    const auto contents = parse_gguf(file->bytes(), place.string());
    if (!contents) return fail(contents.error());
    for (const auto& t : contents->tensors) out.add(name_of(t.type), t.shape, t.data.size());
    return out.sorted();
  }
  const auto files = weight_files(place);
  if (!files) return fail(files.error());
  for (const auto& name : *files) {
    const auto file = mapped_file::open(name);
    if (!file) return fail(file.error());
    const auto places = list_safetensors(file->bytes(), name.string());
    if (!places) return fail(places.error());
    for (const auto& t : *places) out.add(t.dtype, t.shape, t.data.size());
  }
  return out.sorted();
}

std::vector<tensor_format> tensor_formats_of(const model_weights& weights) {
  tally out;
  for (const auto& [name, t] : weights.tensors) out.add("F32", t.shape, t.data.size() * sizeof(float));
  for (const auto& [name, t] : weights.stored) out.add(name_of(t.type), t.shape, t.data.size());
  return out.sorted();
}

} // namespace troupe
