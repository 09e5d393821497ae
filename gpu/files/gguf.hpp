#pragma once

#include "gpu/files/ggml_blocks.hpp"
#include "gpu/weights.hpp"
#include "runtime/base/json.hpp"

namespace troupe {

/// A tensor where it lies in a GGUF file.
struct gguf_tensor {
  std::string name;
  ggml_type type = ggml_type::f32;
  std::vector<std::int64_t>
      shape;             ///< outermost first, as Hugging Face has it (the file has it the other way round)
  std::string_view data; ///< whole blocks; a row is whole blocks, too
};

/// What a GGUF file (version 2 or 3, little-endian) says: metadata, and where its tensors are. Views into the file's bytes.
struct gguf_contents {
  std::map<std::string, json::value, std::less<>>
      metadata;                     ///< numbers, booleans, strings, and arrays of these
  std::vector<gguf_tensor> tensors; ///< in the order of the file

  /// Errors: invalid, naming the key, what was found and what was expected.
  expected<std::int64_t> integer(std::string_view key) const;
  expected<double> number(std::string_view key) const;
  expected<std::string> text(std::string_view key) const;
  bool has(std::string_view key) const { return metadata.contains(key); }
};

/// Every length, count, type and offset is checked against the bytes that are there before anything is made of it. Errors: corrupt;
/// invalid for a tensor type that is not read; version.
expected<gguf_contents> parse_gguf(std::string_view bytes, const std::string& name);

/// The tensor as float32.
host_tensor dequantised(const gguf_tensor& tensor);

} // namespace troupe
