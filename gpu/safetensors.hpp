#pragma once

#include "gpu/checkpoint.hpp"
#include <string>
#include <string_view>

namespace troupe {

/// The bytes of a safetensors file: header, then all data in the order of names, without holes.
std::string format_safetensors(const std::map<std::string, host_tensor>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

/// The tensors in the bytes of a file; `name` is the file's, for messages. Nothing is allocated for a tensor
/// before its length, offsets, dtype and shape have been found to agree. Errors: corrupt.
expected<std::map<std::string, host_tensor>> parse_safetensors(std::string_view bytes,
                                                               const std::string& name);

} // namespace troupe
