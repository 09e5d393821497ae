"""The texts on which tokenizers are compared: the same ones from a number, here and in tests/unit/gpu/test_texts.hpp."""
import json
import pathlib

DATA = pathlib.Path(__file__).parent.parent / "unit/gpu/data"
PIECES = json.loads((DATA / "text_pieces.json").read_text(encoding="utf-8"))
SPACES = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u00a0", "\u3000", "\u2028", "\x0b", "\x85", "\u180e"]
MASK = (1 << 64) - 1


class Numbers:
    def __init__(self, seed):
        self.state = seed * 0x9E3779B97F4A7C15 & MASK
        for _ in range(4):
            self.below(1)

    def below(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) % n


def text(index, names):
    """One to six parts: slices of real text, any code points, ASCII with its controls, white space, digits, names of tokens."""
    random = Numbers(index + 1)
    out = []
    for _ in range(1 + random.below(6)):
        kind = random.below(12)
        if kind < 7:
            piece = PIECES[random.below(len(PIECES))]
            begin = random.below(len(piece))
            out.append(piece[begin : begin + 1 + random.below(40)])
        elif kind == 7:
            for _ in range(1 + random.below(4)):
                point = random.below([0x300, 0x3000, 0x10000, 0x20000, 0x110000][random.below(5)])
                out.append(chr(point + 0x800 if 0xD800 <= point < 0xE000 else point))
        elif kind == 8:
            out += [chr(random.below(128)) for _ in range(1 + random.below(12))]
        elif kind == 9:
            out += [SPACES[random.below(len(SPACES))] for _ in range(1 + random.below(4))]
        elif kind == 10:
            out += [chr(48 + random.below(10)) for _ in range(1 + random.below(9))]
        elif names:
            out.append(names[random.below(len(names))])
    return "".join(out)


def hash_ids(ids, state=0x811C9DC5):
    """FNV-1a over the ids, four bytes each, little-endian, and an end mark."""
    for number in [*ids, 0xFFFFFFFF]:
        for byte in number.to_bytes(4, "little"):
            state = ((state ^ byte) * 0x01000193) & 0xFFFFFFFF
    return state
