#!/usr/bin/env python3
"""A plain PyTorch training loop, as `troupe bench learner` measures itself against: transformers' model in float32, padded batches, AdamW,
clip by norm. Reads one JSON request a line, answers one JSON line each.

usage: tests/oracles/venv.sh python tests/oracles/learner_speed.py MODEL_FOLDER THREADS [bfloat16]
request: {"samples": [[token, ...], ...], "rows": samples of one forward pass, "steps": n}
answer:  {"seconds": per step, "cpu_seconds": per step, "loss": of the first step, "peak_mib": of this process}
"""
import json
import resource
import sys
import time

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(int(sys.argv[2]))
half = "bfloat16" in sys.argv[3:]
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)


def step(samples, rows):
    count = sum(len(s) - 1 for s in samples)
    total = 0.0
    optimizer.zero_grad(set_to_none=True)
    for at in range(0, len(samples), rows):
        part = samples[at:at + rows]
        longest = max(map(len, part))
        ids = torch.tensor([s + [0] * (longest - len(s)) for s in part])
        mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in part])
        labels = ids.masked_fill(mask == 0, -100)[:, 1:]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.size(-1)).float(), labels.reshape(-1),
                                                 reduction="sum") / count
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return total


for line in sys.stdin:
    ask = json.loads(line)
    wall, cpu, first = time.perf_counter(), time.process_time(), None
    for _ in range(ask["steps"]):
        loss = step(ask["samples"], ask["rows"])
        first = loss if first is None else first
    answer = {"seconds": (time.perf_counter() - wall) / ask["steps"], "cpu_seconds": (time.process_time() - cpu) / ask["steps"],
              "loss": first, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    print(json.dumps(answer), flush=True)
