#!/usr/bin/env python3
"""GGUF files, made with the Python package gguf: every number format beside what that package dequantises it to; the tiny models of
model_fixtures.py as llama.cpp's converter would write them; a tokenizer without weights.

usage: tests/oracles/venv.sh python tests/oracles/gguf_fixtures.py
       ... gguf_fixtures.py --real FILE.gguf    the sums and some weights of each tensor of a real file, for a comparison
"""
import json
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from test_texts import DATA

FOLDER = DATA / "gguf"
TYPES = [Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K]
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
NAMES = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def quantised():
    """Blocks of random bytes, with random scales of every size, subnormal ones included."""
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(FOLDER / "formats.gguf", "none")
    for kind in TYPES:
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (4, 2 * (256 // weights if weights < 256 else 1) * size), dtype=np.uint8)
        for row in blocks.reshape(-1, size):
            for at in SCALES.get(kind, range(0, size, 2) if kind in (Type.F16, Type.BF16) else []):
                half = random.standard_normal() * 10.0 ** random.integers(-7, 3)
                if kind == Type.BF16:
                    row[at : at + 2] = np.frombuffer(np.float32(half).tobytes()[2:], np.uint8)
                else:
                    row[at : at + 2] = np.frombuffer(np.float16(half).tobytes(), np.uint8)
        wanted = gguf.quants.dequantize(blocks, kind).astype(np.float32)
        data = blocks.view(np.float16) if kind == Type.F16 else blocks
        writer.add_tensor(kind.name, data, raw_dtype=None if kind == Type.F16 else kind)
        writer.add_tensor(kind.name + ".expected", wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def tensors_of(folder):
    for file in sorted(folder.glob("*.safetensors")):
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        for name, about in json.loads(raw[8 : 8 + length]).items():
            if name == "__metadata__":
                continue
            data = raw[8 + length + about["data_offsets"][0] : 8 + length + about["data_offsets"][1]]
            if about["dtype"] == "BF16":
                values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(data, {"F32": np.float32, "F16": np.float16}[about["dtype"]]).astype(np.float32)
            yield name, values.reshape(about["shape"])


def model(name):
    folder = DATA / "models" / name
    config = json.loads((folder / "config.json").read_text())
    arch = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", arch)
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(dim)
    writer.add_key_length(dim)
    writer.add_value_length(dim)
    rope = config["rope_parameters"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])
    for key, values in tensors_of(folder):
        if key == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        if key.startswith("model.layers."):
            _, _, layer, rest = key.split(".", 3)
            part, kind = rest.rsplit(".", 1)
            if arch == "llama" and part in ("self_attn.q_proj", "self_attn.k_proj"):
                values = permuted(values, heads if part == "self_attn.q_proj" else kv)
            key = f"blk.{layer}.{NAMES[part]}.{kind}"
        else:
            key = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}[key]
        writer.add_tensor(key, np.ascontiguousarray(values if values.ndim == 1 or name == "qwen3" else values.astype(np.float16)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokenizer(name, pre, bos=None):
    """Of tokenizer_fixtures.py, as llama.cpp's converter writes them."""
    root = json.loads((DATA / "tokenizers" / f"{name}.json").read_text(encoding="utf-8"))
    added = {a["id"]: a for a in root["added_tokens"]}
    vocab = {i: s for s, i in root["model"]["vocab"].items()} | {i: a["content"] for i, a in added.items()}
    writer = gguf.GGUFWriter(FOLDER / f"tokenizer-{name}.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([vocab[i] for i in range(len(vocab))])
    writer.add_token_types([(3 if added[i]["special"] else 4) if i in added else 1 for i in range(len(vocab))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in root["model"]["merges"]])
    if bos:
        writer.add_bos_token_id(next(i for i, a in added.items() if a["content"] == bos))
        writer.add_add_bos_token(True)
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def real(path):
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(-1)
        print(tensor.name, tensor.tensor_type.name, values.view(np.uint32).astype(np.uint64).sum())


def main():
    if sys.argv[1:2] == ["--real"]:
        return real(sys.argv[2])
    FOLDER.mkdir(exist_ok=True)
    quantised()
    for name in ("llama2", "llama_linear", "qwen2", "qwen3", "mistral"):
        model(name)
    for name, pre, bos in (("smollm2", "smollm", None), ("llama3", "llama-bpe", "<|begin_of_text|>"), ("qwen3", "qwen2", None), ("gpt2", "gpt-2", None),
                           ("tekken", "tekken", "<s>"), ("deepseek", "deepseek-v3", None)):
        tokenizer(name, pre, bos)


if __name__ == "__main__":
    main()
