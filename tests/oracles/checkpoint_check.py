#!/usr/bin/env python3
"""Loads a checkpoint's folder as transformers does, and says what it sees: the tokenizer, the chat template, the logits.

usage: tests/oracles/venv.sh python tests/oracles/checkpoint_check.py FOLDER    (needs torch, too: pip install torch==2.11.0)
"""
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = sys.argv[1]
words = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
prompt = words.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt",
                                   return_dict=True)
with torch.no_grad():
    logits = model(**prompt).logits[0, -1]
    said = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1]:]
assert torch.isfinite(logits).all()
print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters, {len(words)} tokens, prompt of "
      f"{prompt['input_ids'].shape[1]}, likeliest next {words.convert_ids_to_tokens(int(logits.argmax()))!r}: {words.decode(said)!r}")
