#!/usr/bin/env python3
"""Encoding speed of Troupe's tokenizer and of Hugging Face's tokenizers, one thread each, the same documents; prints both and the ratio.

usage: tests/oracles/venv.sh python tests/oracles/tokenizer_speed.py build/release/tests/perf_tokenizer_bench TOKENIZER.json TEXT...
"""
import json
import os
import subprocess
import sys
import time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
from tokenizers import Tokenizer  # noqa: E402  (it reads its thread count when it is loaded)


def documents(text):
    out, at = [], 0
    while at < len(text):
        end = text.find(b"\n", min(len(text), at + 4096))
        end = len(text) if end < 0 else end
        out.append(text[at:end].decode("utf-8"))
        at = end
    return out


def hugging_face(file, text):
    tokenizer, parts, best = Tokenizer.from_file(file), documents(text), 1e9
    for _ in range(3):
        start = time.perf_counter()
        for part in parts:
            tokenizer.encode(part)
        best = min(best, time.perf_counter() - start)
    return len(text) / best


def troupe(bench, file, text_file):
    done = subprocess.run([bench, "--benchmark_filter=encode", "--benchmark_format=json", "--benchmark_min_time=1"], check=True,
                          capture_output=True, env={**os.environ, "TROUPE_TOKENIZER": file, "TROUPE_TEXT": text_file})
    return json.loads(done.stdout)["benchmarks"][0]["bytes_per_second"]


def main():
    bench, file, *texts = sys.argv[1:]
    for text_file in texts:
        with open(text_file, "rb") as stream:
            theirs = hugging_face(file, stream.read())
        ours = troupe(bench, file, text_file)
        print(f"{os.path.basename(file)} {os.path.basename(text_file)}: troupe {ours / 1e6:.1f} MB/s, tokenizers {theirs / 1e6:.2f} MB/s, ratio {ours / theirs:.1f}")


if __name__ == "__main__":
    main()
