#!/usr/bin/env python3
"""Loads a folder that Troupe wrote (a checkpoint, a converted model) as transformers does, and says what it sees: the tokenizer, the chat
template, the logits.

usage: tests/oracles/venv.sh python tests/oracles/checkpoint_check.py FOLDER    (needs torch, too: pip install torch==2.11.0)
       ... checkpoint_check.py --within BOUND FOLDER SOURCE [FOLDER SOURCE...]    each folder's logits are those that transformers computes from
                                                                          its source, a folder or a GGUF file; with 0, bit for bit
"""
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def loaded(place):
    place = pathlib.Path(place)
    if place.is_dir():
        return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(place.parent, gguf_file=place.name, dtype=torch.float32)


def logits(model):
    vocabulary = model.config.vocab_size
    prompt = torch.tensor([[(7 * i * i + 3 * i + 5) % vocabulary for i in range(40)]])
    with torch.no_grad():
        return model(prompt).logits[0]


def same(bound, folder, source):
    wanted, got = logits(loaded(source)), logits(loaded(folder))
    assert torch.isfinite(got).all() and got.std() > 0
    difference = (wanted - got).abs().max().item()
    print(f"{folder}: {got.numel()} logits, they differ from those of {source} by at most {difference:.1e}")
    return difference <= bound


def describe(folder):
    words = AutoTokenizer.from_pretrained(folder)
    model = loaded(folder)
    prompt = words.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True,
                                       return_tensors="pt", return_dict=True)
    with torch.no_grad():
        following = model(**prompt).logits[0, -1]
        said = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1]:]
    assert torch.isfinite(following).all()
    print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters())} parameters, {len(words)} tokens, prompt of "
          f"{prompt['input_ids'].shape[1]}, likeliest next {words.convert_ids_to_tokens(int(following.argmax()))!r}: {words.decode(said)!r}")


def main():
    if sys.argv[1] != "--within":
        return describe(sys.argv[1])
    pairs = list(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
    sys.exit(0 if all([same(float(sys.argv[2]), folder, source) for folder, source in pairs]) else 1)


if __name__ == "__main__":
    main()
