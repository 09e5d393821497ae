#include "cli/commands.hpp"
#include "cli/model_argument.hpp"
#include "cli/run_folder.hpp"

#include "gpu/files/model_folder.hpp"

#include <iostream>

namespace troupe::cli {

namespace fs = std::filesystem;

int model_convert(const model_convert_arguments& arguments) {
  const auto model = load_model_to_look_at(arguments.from);
  if (!model) return complain(model.error());
  const bool of_transformers = fs::is_directory(arguments.from) && !run_folder{arguments.from}.exists();
  const auto format = arguments.dtype == "bf16" ? weight_format::bfloat16 : weight_format::float32;
  if (auto saved =
          save_model_folder(arguments.to, *model, format, of_transformers ? arguments.from : fs::path());
      !saved)
    return complain(saved.error());
  std::cerr << arguments.to.string() << ": " << expected_shapes(model->weights->config).size()
            << " tensors as " << arguments.dtype
            << (model->words ? "" : "; without a tokenizer, as in " + arguments.from.string()) << '\n';
  return ok;
}

} // namespace troupe::cli
