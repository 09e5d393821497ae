#!/usr/bin/env python3
"""How fast another engine generates with a GGUF file, greedily; one line of JSON. Each figure is tokens per second, by the wall clock and by the
CPU time of all threads (which other load on the machine disturbs less). `./troupe bench engine` runs it beside the engine of Troupe.

usage: tests/oracles/venv.sh --peers python tests/oracles/engine_speed.py llama.cpp|llama.cpp-plain|transformers|torch.load MODEL THREADS PROMPT NEW
"""
import functools
import json
import pathlib
import sys
import time


def timed(tokens, work):
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": tokens / (time.perf_counter() - wall), "cpu": tokens / (time.process_time() - cpu)}


def prompt_of(length, number):
    return [(7 * i * i + 31 * number + 3 * i + 5) % 40000 + 100 for i in range(length)]


def llama_cpp(path, threads, prompt, new, repacked=True):
    import llama_cpp as l
    import numpy as np

    silent = l.llama_log_callback(lambda *_: None)  # kept: the library calls it as long as it lives
    l.llama_log_set(silent, None)
    l.llama_backend_init()
    loading = l.llama_model_default_params()
    loading.use_extra_bufts = repacked  # its kernels over repacked weights (AMX and others)
    model = l.llama_model_load_from_file(path.encode(), loading)
    vocabulary = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))

    def context(sequences, length):
        how = l.llama_context_default_params()
        how.n_ctx, how.n_batch, how.n_ubatch, how.n_seq_max = sequences * length, 512, 512, sequences
        how.n_threads = how.n_threads_batch = threads
        return l.llama_init_from_model(model, how)

    def decode(ctx, rows):
        batch = l.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = sequence
        if l.llama_decode(ctx, batch) != 0:
            raise RuntimeError("llama_decode failed")
        l.llama_batch_free(batch)

    def greedy(ctx, row):
        return int(np.ctypeslib.as_array(l.llama_get_logits_ith(ctx, row), (vocabulary,)).argmax())

    def generate(sequences):
        ctx = context(sequences, 32 + new + 8)
        tokens = []
        for s in range(sequences):
            decode(ctx, [(t, i, s, i == 31) for i, t in enumerate(prompt_of(32, s))])
            tokens.append(greedy(ctx, 31))

        def run():
            for i in range(new):
                decode(ctx, [(t, 32 + i, s, True) for s, t in enumerate(tokens)])
                tokens[:] = [greedy(ctx, s) for s in range(sequences)]

        out = timed(sequences * new, run)
        l.llama_free(ctx)
        return out

    ctx = context(1, prompt + 8)
    decode(ctx, [(1, 0, 0, True)])  # memory is touched
    l.llama_memory_clear(l.llama_get_memory(ctx), True)
    rows = [(t, i, 0, i == prompt - 1) for i, t in enumerate(prompt_of(prompt, 0))]
    prefill = timed(prompt, lambda: decode(ctx, rows))
    l.llama_free(ctx)
    return {"prefill": prefill, "decode1": generate(1), "decode16": generate(16), "about": l.llama_print_system_info().decode()}


def transformers(path, threads, _, new):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    file = pathlib.Path(path).resolve()
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32).eval()
    ids = torch.tensor([prompt_of(32, 0)])
    with torch.no_grad():
        past = model(ids, use_cache=True)

        def run():
            token, cache = past.logits[:, -1:].argmax(-1), past.past_key_values
            for _ in range(new):
                out = model(token, past_key_values=cache, use_cache=True)
                token, cache = out.logits[:, -1:].argmax(-1), out.past_key_values

        return {"decode1": timed(new, run)}


def torch_load(path, threads, *_):
    """Seconds to load the weights of a folder of transformers by torch.load, from a file that torch.save made of them."""
    import torch
    from safetensors.torch import load_file

    place = pathlib.Path(path)
    saved = place / "weights.pt"
    if not saved.exists():
        torch.save(load_file(place / "model.safetensors"), saved)
    torch.load(saved)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        torch.load(saved)
        times.append(time.perf_counter() - start)
    return {"load": min(times)}


if __name__ == "__main__":
    name, model, *numbers = sys.argv[1:]
    plain = functools.partial(llama_cpp, repacked=False)
    print(json.dumps({"llama.cpp": llama_cpp, "llama.cpp-plain": plain, "transformers": transformers, "torch.load": torch_load}[name](model, *map(int, numbers))))
