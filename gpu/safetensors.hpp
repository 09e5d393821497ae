#pragma once

#include "gpu/checkpoint.hpp"
#include <string>
#include <string_view>

namespace troupe {

/// A tensor where it lies in a file: `data` is a view into the file's bytes, row-major, little-endian.
struct tensor_place {
  std::string name, dtype; ///< "F32", "BF16", ...
  std::vector<std::int64_t> shape;
  std::string_view data;
};

/// What lies where in the bytes of a file, in the order of the data; `name` is the file's, for messages. Lengths, offsets, dtypes
/// and shapes agree, and there are neither holes nor overlaps. Errors: corrupt.
expected<std::vector<tensor_place>> list_safetensors(std::string_view bytes, const std::string& name);

/// The bytes of a safetensors file: header, then all data in the order of names, without holes.
std::string format_safetensors(const std::map<std::string, host_tensor>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

/// The tensors in the bytes of a file, all of them F32. Nothing is allocated for a tensor
/// before its length, offsets, dtype and shape have been found to agree. Errors: corrupt.
expected<std::map<std::string, host_tensor>> parse_safetensors(std::string_view bytes,
                                                               const std::string& name);

} // namespace troupe
