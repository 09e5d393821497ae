// How fast one thread encodes: text of TROUPE_TEXT (a file, in documents of about 4 kB) with the tokenizer.json of
// TROUPE_TOKENIZER. tests/oracles/tokenizer_speed.py runs it beside Hugging Face's tokenizers and prints the ratio.
#include "gpu/tokenizer.hpp"
#include "runtime/base/file.hpp"
#include <benchmark/benchmark.h>
#include <cstdlib>

namespace troupe {
namespace {

std::vector<std::string> documents(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    auto end = std::min(text.size(), at + 4096);
    while (end < text.size() && text[end] != '\n') ++end;
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

void encode(benchmark::State& state) {
  const auto *file = std::getenv("TROUPE_TOKENIZER"), *text_file = std::getenv("TROUPE_TEXT");
  if (!file || !text_file) return state.SkipWithError("TROUPE_TOKENIZER and TROUPE_TEXT name no files");
  const auto words = tokenizer::load(file);
  const auto text = read_file(text_file);
  if (!words || !text) return state.SkipWithError(to_string(words ? text.error() : words.error()).c_str());
  const auto parts = documents(*text);
  std::size_t tokens = 0;
  for (auto _ : state)
    for (auto& part : parts) tokens += words->encode(part, {.read_added = true, .add_template = true}).size();
  state.SetBytesProcessed(static_cast<std::int64_t>(text->size()) * state.iterations());
  state.counters["tokens"] = {static_cast<double>(tokens), benchmark::Counter::kIsRate};
}

void load(benchmark::State& state) {
  const auto* file = std::getenv("TROUPE_TOKENIZER");
  if (!file) return state.SkipWithError("TROUPE_TOKENIZER names no file");
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer::load(file));
}

BENCHMARK(encode)->Unit(benchmark::kMillisecond);
BENCHMARK(load)->Unit(benchmark::kMillisecond);

} // namespace
} // namespace troupe
