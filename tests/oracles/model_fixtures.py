#!/usr/bin/env python3
"""Tiny random models of each family as transformers saves them, and its logits for one prompt each, in double precision.

usage: tests/oracles/venv.sh python tests/oracles/model_fixtures.py           (needs torch, too: pip install torch==2.11.0)
       ... model_fixtures.py --check FOLDER...                                 loads folders that Troupe has written; prints how far
                                                                               their logits are from logits.json beside them
"""
import json
import pathlib
import shutil
import sys

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config
from test_texts import DATA

SMALL = dict(vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
             max_position_embeddings=128, rms_norm_eps=1e-5, bos_token_id=0, eos_token_id=1, pad_token_id=None)
THETA = 10000.0
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", rope_theta=THETA, factor=4.0, original_max_position_embeddings=32)
MODELS = {
    "llama2": (LlamaConfig(**SMALL, rope_parameters=dict(rope_type="default", rope_theta=THETA), tie_word_embeddings=False), "float16", "1GB"),
    "llama3": (LlamaConfig(**SMALL, rope_parameters=LLAMA3, tie_word_embeddings=True), "bfloat16", "1GB"),
    "llama_linear": (LlamaConfig(**SMALL, rope_parameters=dict(rope_type="linear", rope_theta=THETA, factor=2.5), attention_bias=True, tie_word_embeddings=False), "float16", "1GB"),
    "mistral": (MistralConfig(**SMALL, rope_parameters=dict(rope_type="default", rope_theta=1e6), sliding_window=9, head_dim=12), "bfloat16", "1GB"),
    "qwen2": (Qwen2Config(**SMALL, rope_parameters=YARN, tie_word_embeddings=True), "bfloat16", "1GB"),
    "qwen2_window": (Qwen2Config(**SMALL, rope_parameters=dict(rope_type="default", rope_theta=THETA), use_sliding_window=True, sliding_window=7, max_window_layers=1), "float16", "1GB"),
    "qwen3": (Qwen3Config(**SMALL, rope_parameters=dict(rope_type="default", rope_theta=1e6), head_dim=20, tie_word_embeddings=False), "float32", "48KB"),
}
PROMPT = [(7 * i * i + 3 * i + 5) % 80 for i in range(60)]


def logits(model):
    with torch.no_grad():
        return model(torch.tensor([PROMPT])).logits[0].to(torch.float64)


def loaded(folder):
    """In double precision; the rotary frequencies stay what float32 made of them."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).to(torch.float64)


def make(name, config, dtype, shard):
    torch.manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.float32)
    for key, tensor in model.named_parameters():
        torch.nn.init.normal_(tensor.data, std=0.3 if "bias" in key else 0.12)
        if "norm" in key:
            tensor.data += 1
    model = model.to(getattr(torch, dtype))
    folder = DATA / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    values = logits(loaded(folder))
    rows = [[round(v, 7) for v in values[i].tolist()] for i in (0, 1, 20, 59)]
    (folder / "logits.json").write_text(json.dumps({"prompt": PROMPT, "positions": [0, 1, 20, 59], "logits": rows}) + "\n")
    print(name, sum(f.stat().st_size for f in folder.iterdir()), "bytes")


def check(folder):
    wanted = json.loads((DATA / "models" / folder.name / "logits.json").read_text())
    got = logits(loaded(folder))
    worst = max((got[p] - torch.tensor(row, dtype=torch.float64)).abs().max().item() for p, row in zip(wanted["positions"], wanted["logits"]))
    print(f"{folder}: logits differ by at most {worst:.1e}")
    return worst < 1e-5


def main():
    if sys.argv[1:2] == ["--check"]:
        sys.exit(0 if all([check(pathlib.Path(f)) for f in sys.argv[2:]]) else 1)
    for name, (config, dtype, shard) in MODELS.items():
        make(name, config, dtype, shard)


if __name__ == "__main__":
    main()
