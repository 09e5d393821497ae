"""How each family's tokenizer.json splits, normalises and frames text; the vocabulary is added by the callers."""

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
            "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]


def byte_level(use_regex=False, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def template(*names):
    """names before a text, "A" for the text itself."""
    single = [{"Sequence": {"id": "A", "type_id": 0}} if n == "A" else {"SpecialToken": {"id": n, "type_id": 0}} for n in names]
    return {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": [n for n in names if n != "A"]}


def with_byte_level(processor):
    return {"type": "Sequence", "processors": [byte_level(True), processor]}


PLAIN = dict(special=False)
FAMILIES = {
    "gpt2": dict(pre=byte_level(True), added=[token("<|endoftext|>", normalized=True)], post=byte_level(True)),
    "llama3": dict(pre=sequence(split(LLAMA3), byte_level()), ignore_merges=True, post=with_byte_level(template("<|begin_of_text|>", "A")),
                   added=[token(n) for n in ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
                                             "<|python_tag|>"]]),
    "qwen3": dict(pre=sequence(split(QWEN2), byte_level()), normalizer={"type": "NFC"}, post=byte_level(),
                  added=[token(n) for n in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]] +
                        [token(n, **PLAIN) for n in ["<tool_call>", "</tool_call>", "<think>", "</think>"]]),
    "smollm2": dict(pre=sequence({"type": "Digits", "individual_digits": True}, byte_level(True)), alphabet=False,
                    added=[token(n) for n in ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<jupyter_text>"]]),
    "tekken": dict(pre=sequence(split(TEKKEN), byte_level()), ignore_merges=True, post=template("<s>", "A"),
                   added=[token(n) for n in ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]"]]),
    "deepseek": dict(pre=sequence(*[split(p) for p in DEEPSEEK], byte_level()), normalizer={"type": "Sequence", "normalizers": []}, post=byte_level(True, True),
                     added=[token("<｜begin▁of▁sentence｜>"), token("<｜end▁of▁sentence｜>"), token("<think>", normalized=True, **PLAIN),
                            token("<｜User｜>", **PLAIN)]),
    "kimi": dict(pre=sequence(split(KIMI), byte_level()), added=[token("[BOS]"), token("<|im_end|>")]),
    # What the families above leave out: every flag, every behaviour.
    "flags": dict(pre=byte_level(True, True), unk="<unk>", fuse_unk=True, alphabet=False, post=template("<s>", "A", "</s>"),
                  normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"String": "fox"}, "content": "dog"}]},
                  added=[token("<s>"), token("</s>"), token("<unk>"), token("<mask>", lstrip=True), token("<left>", lstrip=True, **PLAIN), token("<right>", rstrip=True, **PLAIN),
                         token("<both>", lstrip=True, rstrip=True, normalized=True, **PLAIN), token("word", single_word=True, **PLAIN),
                         token("wor", single_word=True, normalized=True, **PLAIN), token("ﬁ", normalized=True, **PLAIN), token("<left><right>", **PLAIN),
                         token("é", normalized=True, **PLAIN)]),
    "behaviours": dict(normalizer={"type": "NFD"}, pre=sequence(
        split(r"[!-/:-@\[-`{-~\p{P}]", "Contiguous"), split(r"\d{2,3}?", "MergedWithPrevious"), split(r"[aeiou]+", "MergedWithNext"), split(r"\p{Lu}", "Contiguous"),
        split(r"(?<=\p{Ll})\p{Lu}|(?<![\p{L}\p{N}])z|^\s|x$|(?:ab|cd){1,3}", "Isolated"), split(r"\S+|\s+(?=\S)", "Removed", True), byte_level()),
        added=[token("<|x|>")]),
}
