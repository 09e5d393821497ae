#!/usr/bin/env python3
"""What transformers generates greedily with SmolLM2-135M-Instruct in float32 on dequantised weights, and the logprobs that it gives the prompts:
24 prompts x 48 tokens, written to tests/unit/gpu/data/smollm2_greedy.json with the checksum of the file. Takes some minutes.

usage: tests/oracles/venv.sh python tests/oracles/greedy_fixtures.py SmolLM2-135M-Instruct.Q4_1.gguf   (needs torch and accelerate, too)
"""
import hashlib
import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from test_texts import DATA

TEXTS = [
    "The capital of France is", "Water boils at", "Once upon a time, there was a", "def fibonacci(n):\n", "In 1969, the first man",
    "To make bread you need flour,", "The opposite of cold is", "import numpy as np\n", "Dear Sir or Madam,\n",
    "Q: How many legs has a spider?\nA:", "SELECT name FROM", "The mitochondria is", "1, 2, 4, 8, 16,", "<html>\n<head>",
    "Paris, Berlin, Rome and", "Translate to French: Good morning. ->",
]
QUESTIONS = [  # as the first turn of a conversation
    "What is the capital of France?", "Why is the sky blue?", "Write a haiku about the sea.", "What is 17 + 25?",
    "Name three planets.", "Who wrote Hamlet?", "Write a Python function that reverses a string.", "Explain what a compiler does in two sentences.",
]
NEW = 48


def main(path):
    file = pathlib.Path(path).resolve()
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32, attn_implementation="eager").eval()
    cases = []
    for prompt in prompts(file):
        ids = torch.tensor([prompt])
        with torch.no_grad():
            logprobs = torch.log_softmax(model(ids).logits[0].to(torch.float64), dim=-1)
            told = [0.0] + [round(logprobs[i - 1, t].item(), 6) for i, t in enumerate(prompt) if i > 0]
            new = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=2)[0, len(prompt):]
        cases.append({"prompt": prompt, "prompt_logprobs": told, "greedy": new.tolist()})
    out = DATA / "smollm2_greedy.json"
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"model_sha256": "{sha256}", "cases": [\n{lines}\n]}}\n')
    print(f"{out}: {len(cases)} prompts")


def prompts(file):
    """By the tokens and merges of the file itself; digits one by one, as its pre-tokenizer (smollm) has them."""
    from gguf import GGUFReader
    from tokenizers import models, pre_tokenizers
    fields = GGUFReader(str(file)).fields
    words = [bytes(fields["tokenizer.ggml.tokens"].parts[i]).decode() for i in fields["tokenizer.ggml.tokens"].data]
    merges = [tuple(bytes(fields["tokenizer.ggml.merges"].parts[i]).decode().split(" ")) for i in fields["tokenizer.ggml.merges"].data]
    tokenizer = Tokenizer(models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    start, end = words.index("<|im_start|>"), words.index("<|im_end|>")

    def plain(text):
        return tokenizer.encode(text).ids

    def turn(question):
        return [start, *plain("user\n" + question), end, *plain("\n"), start, *plain("assistant\n")]

    return [plain(text) for text in TEXTS] + [turn(question) for question in QUESTIONS]


if __name__ == "__main__":
    main(*sys.argv[1:])
