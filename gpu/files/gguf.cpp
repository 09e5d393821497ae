#include "gpu/files/gguf.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace troupe {

namespace {

constexpr std::uint64_t most_elements = 1
                                        << 24; // of all arrays: a byte in the file becomes a value in memory
constexpr std::size_t longest_name = 1024, most_dimensions = 4;

/// Reads from the front of the bytes; after the first error everything read is 0.
class cursor {
public:
  explicit cursor(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  T take() {
    T out{};
    if (left() < sizeof(T)) return refuse("the file ends at byte " + std::to_string(bytes_.size())), out;
    std::memcpy(&out, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return out;
  }

  std::string_view string(std::uint64_t longest) {
    const auto length = take<std::uint64_t>();
    if (length > longest || length > left()) {
      refuse("a string of " + std::to_string(length) + " bytes, " + std::to_string(left()) +
             " are left and " + std::to_string(longest) + " allowed");
      return {};
    }
    const auto out = bytes_.substr(at_, static_cast<std::size_t>(length));
    at_ += out.size();
    return out;
  }

  json::value value(std::uint32_t type, int depth = 0) {
    switch (type) {
    case 0: return std::int64_t{take<std::uint8_t>()};
    case 1: return std::int64_t{take<std::int8_t>()};
    case 2: return std::int64_t{take<std::uint16_t>()};
    case 3: return std::int64_t{take<std::int16_t>()};
    case 4: return std::int64_t{take<std::uint32_t>()};
    case 5: return std::int64_t{take<std::int32_t>()};
    case 6: return double{take<float>()};
    case 7: return take<std::uint8_t>() != 0;
    case 8: return json::value(string(left()));
    case 9: return list(depth);
    case 10: return take<std::uint64_t>();
    case 11: return take<std::int64_t>();
    case 12: return take<double>();
    default: return refuse("a value of the unknown type " + std::to_string(type)), nullptr;
    }
  }

  void refuse(std::string why) {
    if (why_.empty()) why_ = "at byte " + std::to_string(at_) + ": " + std::move(why);
    at_ = bytes_.size();
  }
  std::size_t left() const { return bytes_.size() - at_; }
  std::size_t at() const { return at_; }
  bool good() const { return why_.empty(); }
  const std::string& why() const { return why_; }

private:
  json::value list(int depth) {
    const auto type = take<std::uint32_t>();
    const auto count = take<std::uint64_t>();
    elements_ += std::min(count, most_elements + 1);
    if (count > left() || elements_ > most_elements || depth > 2) // an element has a byte at least
      return refuse("an array of " + std::to_string(count) + " elements"), nullptr;
    json::array out;
    for (std::uint64_t i = 0; i < count && good(); ++i) out.push_back(value(type, depth + 1));
    return out;
  }

  std::string_view bytes_;
  std::size_t at_ = 4; ///< behind "GGUF"
  std::uint64_t elements_ = 0;
  std::string why_;
};

struct unplaced {
  gguf_tensor tensor;
  std::uint64_t offset = 0, bytes = 0;
};

/// Reads one entry of the tensor table; `why` gets what is wrong with it.
unplaced read_entry(cursor& in, std::uint64_t file_size, std::string& why) {
  unplaced out;
  out.tensor.name = in.string(longest_name);
  const auto dimensions = in.take<std::uint32_t>();
  if (dimensions < 1 || dimensions > most_dimensions)
    return why = std::to_string(dimensions) + " dimensions, expected 1 to 4", out;
  std::uint64_t count = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto side = in.take<std::uint64_t>();
    // a weight has two bits at least in any type that is known: more cannot be in the file
    if (in.good() && (side == 0 || side > file_size * 4 || count > file_size * 4 / side))
      return why = "a side of " + std::to_string(side), out;
    count *= side;
    out.tensor.shape.insert(out.tensor.shape.begin(), static_cast<std::int64_t>(side));
  }
  const auto type = in.take<std::uint32_t>();
  out.offset = in.take<std::uint64_t>();
  if (!in.good()) return out;
  const auto layout = ggml_layout_of(type);
  if (!layout)
    return why = "the type number " + std::to_string(type) +
                 ", supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K",
           out;
  if (static_cast<std::uint64_t>(out.tensor.shape.back()) % layout->weights != 0)
    return why = "rows of " + std::to_string(out.tensor.shape.back()) + " weights in " +
                 std::string(layout->name) + ", expected a multiple of " + std::to_string(layout->weights),
           out;
  out.tensor.type = static_cast<ggml_type>(type);
  out.bytes = count / layout->weights * layout->bytes;
  return out;
}

std::string wrong_type(std::string_view key, const json::value* found, std::string_view wanted) {
  return "\"" + std::string(key) + "\" is " +
         (found ? "a " + std::string(json::type_name(*found)) : "missing") + ", expected " +
         std::string(wanted);
}

} // namespace

expected<std::int64_t> gguf_contents::integer(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found != metadata.end()) {
    if (const auto* number = found->second.if_int64()) return *number;
    if (const auto* number = found->second.if_uint64(); number && *number < std::uint64_t{1} << 63)
      return static_cast<std::int64_t>(*number);
  }
  return fail(errc::invalid,
              wrong_type(key, found == metadata.end() ? nullptr : &found->second, "a whole number"));
}

expected<double> gguf_contents::number(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found != metadata.end() && found->second.is_number()) return found->second.to_number<double>();
  return fail(errc::invalid, wrong_type(key, found == metadata.end() ? nullptr : &found->second, "a number"));
}

expected<std::string> gguf_contents::text(std::string_view key) const {
  const auto found = metadata.find(key);
  if (found != metadata.end() && found->second.is_string()) return std::string(found->second.as_string());
  return fail(errc::invalid, wrong_type(key, found == metadata.end() ? nullptr : &found->second, "a string"));
}

expected<gguf_contents> parse_gguf(std::string_view bytes, const std::string& name) {
  const auto bad = [&](const std::string& why, errc code = errc::corrupt) {
    return fail(code, name + ": " + why);
  };
  if (!bytes.starts_with("GGUF")) return bad("does not begin with \"GGUF\"");
  cursor in(bytes);
  const auto version = in.take<std::uint32_t>();
  if (in.good() && version != 2 && version != 3)
    return bad("is of GGUF version " + std::to_string(version) + ", expected 2 or 3, little-endian",
               errc::version);
  const auto tensors = in.take<std::uint64_t>(), entries = in.take<std::uint64_t>();
  if (in.good() && (tensors > in.left() / 24 || entries > in.left() / 12)) // the least that one of them takes
    return bad("claims " + std::to_string(tensors) + " tensors and " + std::to_string(entries) +
               " metadata entries in " + std::to_string(bytes.size()) + " bytes");
  gguf_contents out;
  for (std::uint64_t i = 0; i < entries && in.good(); ++i) {
    std::string key(in.string(longest_name));
    const auto type = in.take<std::uint32_t>();
    auto value = in.value(type);
    if (in.good() && !out.metadata.emplace(key, std::move(value)).second)
      return bad("has the metadata key \"" + key + "\" twice");
  }
  std::vector<unplaced> found;
  for (std::uint64_t i = 0; i < tensors && in.good(); ++i) {
    std::string why;
    found.push_back(read_entry(in, bytes.size(), why));
    if (!why.empty() && in.good())
      return bad("tensor \"" + found.back().tensor.name + "\" has " + why,
                 why.starts_with("the type") ? errc::invalid : errc::corrupt);
  }
  if (!in.good()) return bad(in.why());
  std::uint64_t alignment = 32;
  if (out.has("general.alignment")) {
    const auto given = out.integer("general.alignment");
    if (!given || *given < 1 || *given > 1 << 20 || !std::has_single_bit(static_cast<std::uint64_t>(*given)))
      return bad("its general.alignment is no power of two up to 1048576");
    alignment = static_cast<std::uint64_t>(*given);
  }
  const auto start = (in.at() + alignment - 1) / alignment * alignment;
  const std::uint64_t room = start < bytes.size() ? bytes.size() - start : 0;
  std::vector<const unplaced*> order;
  for (auto& one : found) {
    if (one.offset % alignment != 0 || one.offset > room || one.bytes > room - one.offset)
      return bad("tensor \"" + one.tensor.name + "\" is " + std::to_string(one.bytes) + " bytes at " +
                 std::to_string(one.offset) + " of the data, which has " + std::to_string(room) +
                 " and an alignment of " + std::to_string(alignment));
    one.tensor.data =
        bytes.substr(static_cast<std::size_t>(start + one.offset), static_cast<std::size_t>(one.bytes));
    order.push_back(&one);
  }
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->bytes > order[i]->offset)
      return bad("tensors \"" + order[i - 1]->tensor.name + "\" and \"" + order[i]->tensor.name +
                 "\" overlap");
  for (auto& one : found) out.tensors.push_back(std::move(one.tensor));
  return out;
}

host_tensor dequantised(const gguf_tensor& tensor) {
  const auto layout = *ggml_layout_of(static_cast<std::uint32_t>(tensor.type));
  host_tensor out{tensor.shape, std::vector<float>(tensor.data.size() / layout.bytes * layout.weights)};
  dequantise(tensor.type, tensor.data.data(), out.data.size(), out.data.data());
  return out;
}

} // namespace troupe
