#include "actors/warmup_source.hpp"

#include "actors/chat_samples.hpp"
#include "gym/task_order.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr std::size_t block_size = 400; // samples

sft_sample to_sample(const demonstration& demo, const tokenizer& words, double other_weight) {
  sft_sample out;
  for (const auto& part : demo) {
    const auto ids = words.encode(std::vector<text_piece>{part.piece});
    out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
    out.weights.resize(out.tokens.size(), part.learn ? 1.0f : static_cast<float>(other_weight));
  }
  return out;
}

void cut(sft_sample& sample, std::size_t longest) {
  if (sample.tokens.size() <= longest) return;
  sample.tokens.resize(longest);
  sample.weights.resize(longest);
}

/// The first token is predicted from nothing: its weight counts for nothing.
bool teaches_something(const sft_sample& sample) {
  return !sample.weights.empty() &&
         std::any_of(sample.weights.begin() + 1, sample.weights.end(), [](float w) { return w > 0; });
}

void warn(const std::function<void(const json::object&)>& say, const std::string& text) {
  say({{"kind", "message"}, {"level", "warning"}, {"text", text}});
}

} // namespace

world::mixture mixture_at(const run_config::warmup_section& w, double progress) {
  auto between = [progress](double first, double last) { return first + (last - first) * progress; };
  world::mixture mix;
  mix.good = w.good;
  mix.useless = w.useless;
  mix.lazy = w.lazy;
  mix.guess = w.guess;
  mix.wrong_field = w.wrong_field;
  mix.malformed = w.malformed;
  mix.fictional = w.fictional;
  mix.drills = between(w.drills_first, w.drills_last);
  mix.reading = between(w.reading_first, w.reading_last);
  mix.bridging = between(w.bridging_first, w.bridging_last);
  mix.digits = w.digits;
  mix.opens = w.opens;
  return mix;
}

sample_blocks demonstration_blocks(std::shared_ptr<const world> where, std::shared_ptr<const tokenizer> words,
                                   std::shared_ptr<const model_chat> chat, const run_config& config) {
  return [where = std::move(where), words = std::move(words), chat = std::move(chat), w = config.warmup,
          longest = static_cast<std::size_t>(config.model.context)](std::uint64_t, std::int64_t first_step,
                                                                    random_stream& random) {
    const double progress =
        static_cast<double>(first_step) / static_cast<double>(std::max<std::int64_t>(1, w.steps));
    const auto mix = mixture_at(w, std::min(1.0, progress));
    std::vector<sft_sample> out;
    for (std::size_t i = 0; i < block_size; ++i) {
      const auto demo = where->demonstrate(mix, random);
      out.push_back(chat ? chat->sample(demo, w.other_text_weight)
                         : to_sample(demo, *words, w.other_text_weight));
      cut(out.back(), longest);
    }
    return out;
  };
}

expected<sample_blocks> read_chat_blocks(const std::string& jsonl, const language_model& model,
                                         const std::vector<token>& ends, const run_config& config,
                                         const std::function<void(const json::object&)>& say) {
  const auto& file = config.warmup.data;
  const auto chats = parse_chats(jsonl, file);
  if (!chats) return fail(chats.error());
  const auto longest = static_cast<std::size_t>(config.model.context);
  auto samples = std::make_shared<std::vector<sft_sample>>();
  std::size_t long_ones = 0, left_out = 0;
  for (const auto& chat : *chats) {
    auto made = chat_samples(model, ends, chat);
    if (!made) return fail(made.error());
    for (auto& sample : *made) {
      long_ones += sample.tokens.size() > longest;
      cut(sample, longest);
      if (teaches_something(sample))
        samples->push_back(std::move(sample));
      else
        ++left_out;
    }
  }
  const auto limit = "model.context (" + std::to_string(longest) + " tokens)";
  if (samples->empty())
    return fail(errc::invalid, file + ": found no chat with an assistant's word within " + limit +
                                   ", expected at least one");
  if (long_ones > 0)
    warn(say, file + ": " + std::to_string(long_ones) + " chats are longer than " + limit + " and are cut; " +
                  std::to_string(left_out) + " of them have nothing left to learn and are left out");
  const task_order order(samples->size(), derive_seed(static_cast<std::uint64_t>(config.seed), "chats"));
  return [samples, order, size = std::min(block_size, samples->size())](std::uint64_t block, std::int64_t,
                                                                        random_stream&) {
    std::vector<sft_sample> out;
    for (std::uint64_t i = 0; i < size; ++i) out.push_back((*samples)[order[block * size + i]]);
    return out;
  };
}

std::vector<sft_sample> warmup_source::batch(std::int64_t step) {
  std::scoped_lock lock(mutex_);
  if (step < first_) block_ = first_ = 0, batches_.clear(); // an earlier step: begin again
  while (step >= first_ + static_cast<std::int64_t>(batches_.size())) {
    first_ += static_cast<std::int64_t>(batches_.size());
    make_block();
  }
  return batches_[static_cast<std::size_t>(step - first_)];
}

void warmup_source::make_block() {
  random_stream random(derive_seed(seed_, block_));
  auto all = blocks_(block_++, first_, random);
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.tokens.size() < b.tokens.size(); });
  batches_.assign(1, {});
  for (auto& sample : all) { // ascending: the new sample is the longest of its batch
    const auto padded = (batches_.back().size() + 1) * sample.tokens.size();
    if (!batches_.back().empty() && padded > batch_tokens_) batches_.emplace_back();
    batches_.back().push_back(std::move(sample));
  }
  shuffle(batches_, random);
}

} // namespace troupe
