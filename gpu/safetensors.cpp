#include "gpu/safetensors.hpp"

#include "runtime/base/file.hpp"
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

static_assert(std::endian::native == std::endian::little, "safetensors and this code are little-endian");

namespace troupe {

namespace {

constexpr std::size_t length_bytes = 8, longest_header = 100'000'000; // the reference reader's limit
constexpr std::size_t largest_file = std::size_t{1} << 40;

/// Bytes per element; 0 for a type that is not known.
std::int64_t element_size(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  return dtype == "I8" || dtype == "U8" || dtype == "BOOL" || dtype.starts_with("F8_") ? 1 : 0;
}

/// A tensor's entry in the header, checked as far as that goes without the others.
struct entry {
  std::string name, dtype;
  std::vector<std::int64_t> shape;
  std::size_t begin = 0, end = 0;
};

expected<entry> read_entry(std::string_view name, const json::value& from) {
  const auto bad = [&](const std::string& why) {
    return fail(errc::corrupt, "tensor \"" + std::string(name) + "\": " + why);
  };
  const auto* fields = from.if_object();
  if (!fields) return bad("its entry is a " + std::string(json::type_name(from)) + ", expected an object");
  const auto dtype = json::string_at(*fields, "dtype");
  if (!dtype) return bad(dtype.error().message);
  if (element_size(*dtype) == 0) return bad("dtype " + *dtype + " is not known");
  const auto shape = json::array_at(*fields, "shape");
  const auto offsets = json::array_at(*fields, "data_offsets");
  if (!shape) return bad(shape.error().message);
  if (!offsets) return bad(offsets.error().message);
  entry out{.name = std::string(name), .dtype = *dtype};
  std::int64_t bytes = element_size(*dtype);
  for (auto& side : **shape) {
    const auto* n = side.if_int64();
    if (!n || *n < 0 || (*n > 0 && bytes > std::numeric_limits<std::int64_t>::max() / *n))
      return bad("shape " + json::dump(**shape) +
                 ", expected whole numbers whose product is a possible size");
    bytes *= *n;
    out.shape.push_back(*n);
  }
  const auto side = [&](std::size_t i) {
    return (*offsets)->size() == 2 ? (**offsets)[i].if_int64() : nullptr;
  };
  if (!side(0) || !side(1) || *side(0) < 0 || *side(1) < *side(0))
    return bad("data_offsets " + json::dump(**offsets) + ", expected [begin, end]");
  if (*side(1) - *side(0) != bytes)
    return bad("data_offsets " + json::dump(**offsets) + " for shape " + json::dump(**shape) + ", expected " +
               std::to_string(bytes) + " bytes");
  out.begin = static_cast<std::size_t>(*side(0));
  out.end = static_cast<std::size_t>(*side(1));
  return out;
}

} // namespace

std::string format_safetensors(const std::map<std::string, host_tensor>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  json::object header, about{{"format", "pt"}};
  for (auto& [key, text] : metadata) about[key] = text;
  header["__metadata__"] = std::move(about);
  std::size_t size = 0;
  for (auto& [name, tensor] : tensors) {
    const auto end = size + tensor.data.size() * sizeof(float);
    header[name] = json::object{{"dtype", "F32"},
                                {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                                {"data_offsets", json::array{size, end}}};
    size = end;
  }
  auto text = json::dump(header);
  text.append((length_bytes - text.size() % length_bytes) % length_bytes, ' ');
  const std::uint64_t length = text.size();
  std::string out(length_bytes, '\0');
  std::memcpy(out.data(), &length, length_bytes);
  out.reserve(length_bytes + text.size() + size);
  out += text;
  for (auto& [name, tensor] : tensors)
    out.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size() * sizeof(float));
  return out;
}

expected<std::vector<tensor_place>> list_safetensors(std::string_view bytes, const std::string& name) {
  const auto bad = [&](const std::string& why) { return fail(errc::corrupt, name + ": " + why); };
  if (bytes.size() < length_bytes)
    return bad("has " + std::to_string(bytes.size()) + " bytes, too few for a header");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), length_bytes);
  if (length > bytes.size() - length_bytes || length > longest_header)
    return bad("its header claims " + std::to_string(length) + " bytes, the file has " +
               std::to_string(bytes.size()));
  const auto header = json::parse(bytes.substr(length_bytes, static_cast<std::size_t>(length)));
  if (!header) return bad("its header is " + header.error().message);
  if (!header->is_object())
    return bad("its header is a " + std::string(json::type_name(*header)) + ", expected an object");
  const auto data = bytes.substr(length_bytes + static_cast<std::size_t>(length));

  std::vector<entry> entries;
  for (auto& [key, from] : header->as_object()) {
    if (key == "__metadata__") continue;
    auto made = read_entry(key, from);
    if (!made) return bad(made.error().message);
    entries.push_back(std::move(*made));
  }
  std::sort(entries.begin(), entries.end(), [](const entry& a, const entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::size_t at = 0; // neither holes nor overlaps
  for (auto& e : entries) {
    if (e.begin != at || e.end > data.size())
      return bad("tensor \"" + e.name + "\" is at bytes " + std::to_string(e.begin) + " to " +
                 std::to_string(e.end) + " of " + std::to_string(data.size()) + ", expected to begin at " +
                 std::to_string(at));
    at = e.end;
  }
  if (at != data.size())
    return bad("has " + std::to_string(data.size()) + " bytes of data, its header names " +
               std::to_string(at));

  std::vector<tensor_place> out;
  for (auto& e : entries)
    out.push_back(
        {std::move(e.name), std::move(e.dtype), std::move(e.shape), data.substr(e.begin, e.end - e.begin)});
  return out;
}

expected<std::map<std::string, host_tensor>> parse_safetensors(std::string_view bytes,
                                                               const std::string& name) {
  const auto places = list_safetensors(bytes, name);
  if (!places) return fail(places.error());
  for (auto& place : *places)
    if (place.dtype != "F32")
      return fail(errc::corrupt,
                  name + ": tensor \"" + place.name + "\": dtype " + place.dtype + ", expected F32");
  std::map<std::string, host_tensor> out;
  for (auto& place : *places) {
    auto& tensor = out[place.name];
    tensor.shape = place.shape;
    tensor.data.resize(place.data.size() / sizeof(float));
    if (!place.data.empty()) std::memcpy(tensor.data.data(), place.data.data(), place.data.size());
  }
  return out;
}

expected<void> write_safetensors(const std::filesystem::path& file,
                                 const std::map<std::string, host_tensor>& tensors,
                                 const std::map<std::string, std::string>& metadata) {
  return write_file_atomically(file, format_safetensors(tensors, metadata));
}

expected<std::map<std::string, host_tensor>> read_safetensors(const std::filesystem::path& file) {
  const auto bytes = read_file(file, largest_file);
  if (!bytes) return fail(bytes.error());
  return parse_safetensors(*bytes, file.string());
}

} // namespace troupe
