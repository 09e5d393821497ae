#!/usr/bin/env python3
"""Writes gpu/text/unicode_table.inl: the general category of every code point, which are Han, and which Hugging Face's
normalizers do not know yet.

All of it is read out of Hugging Face's `tokenizers` itself, which Troupe must agree with on every code point: its regular
expressions (Oniguruma) have the categories of Unicode 16, its normal forms are those of Unicode 9.

usage: tests/oracles/venv.sh python tests/oracles/unicode_table.py > gpu/text/unicode_table.inl
"""
import unicodedata

import unicodedata2 as newest
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Zs Zl Zp Cc Cf Co Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So".split()
POINTS = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
ALL = "".join(map(chr, POINTS))


def members(pattern):
    """The code points that a one-character pattern matches."""
    out = set()
    for first in range(0, len(ALL), 4096):
        text = ALL[first : first + 4096]
        inverse = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
        inside = set(range(len(text)))
        for _, (begin, end) in inverse:
            inside -= set(range(begin, end))
        out |= {POINTS[first + i] for i in inside}
    return out


def late():
    """What newer versions of Unicode reorder, decompose or compose, and these normalizers leave alone."""
    nfkd, nfd, out = normalizers.NFKD(), normalizers.NFD(), set()
    for p in POINTS:
        c = chr(p)
        place, parts = newest.combining(c), newest.normalize("NFKD", c)
        if not place and parts == c:
            continue
        reordered = not 0 < place < 240 or nfd.normalize_str("\u0345" + c) == newest.normalize("NFD", "\u0345" + c)
        if nfkd.normalize_str(c) != parts or not reordered:
            assert nfkd.normalize_str(c) == c
            young = [q for q in newest.normalize("NFD", c) if unicodedata.ucd_3_2_0.category(q) == "Cn"]
            out |= {p, *map(ord, young)} # a newer utf8proc would compose these parts
    return out


def print_ranges(name, points):
    print(f"constexpr std::uint32_t {name}[][2] = {{ // first, last")
    points, begin = sorted(points), None
    for i, p in enumerate(points):
        begin = p if begin is None else begin
        if i + 1 == len(points) or points[i + 1] != p + 1:
            print(f"    {{{begin}, {p}}},")
            begin = None
    print("};")


def main():
    of = [0] * 0x110000
    for number, name in enumerate(CATEGORIES):
        if name != "Cn":
            for p in members(rf"\p{{{name}}}"):
                of[p] = number
    print("// Made by tests/oracles/unicode_table.py from Hugging Face's tokenizers. Not for editing.")
    print("constexpr std::uint32_t category_runs[] = { // first code point * 32 + category, until the next entry")
    runs = [p * 32 + of[p] for p in range(0x110000) if p == 0 or of[p] != of[p - 1]]
    for i in range(0, len(runs), 12):
        print("    " + " ".join(f"{run}," for run in runs[i : i + 12]))
    print("};")
    print_ranges("han_ranges", members(r"\p{Han}"))
    print_ranges("late_ranges", late())


if __name__ == "__main__":
    main()
