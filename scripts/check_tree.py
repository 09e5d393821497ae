#!/usr/bin/env python3
"""Rules of the map that a compiler does not see (docs/architecture.md, "The arrows").

usage: check_tree.py ROOT [RULE...]
  arrows            which folder may include which; CAF only in runtime/, LibTorch only in gpu/torch/
  own_header_first  x.cpp includes x.hpp before anything else, which proves that x.hpp is self-contained
  words             no reminder of unfinished work
  file_length       no source of more than 600 lines
  model_triple      the files that CONTRIBUTING.md opens with are what the tree holds
Prints each breach as FILE:LINE: what was found, what was expected. Exit status 1 if there is one.
"""
import pathlib
import re
import sys

FOLDERS = ("runtime", "gym", "tools", "gpu", "actors", "sim", "cli")
FLOOR = ("runtime", "gym", "tools", "gpu")  # these include only themselves and runtime/base/
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def includes(lines):
    for number, line in enumerate(lines, 1):
        if match := INCLUDE.match(line):
            yield number, match[2]


def may_include(path, header):
    """None, or what was expected instead."""
    top, target = path.parts[0], header.split("/")[0]
    if target == "caf" and top != "runtime":
        return "CAF only in runtime/ (elsewhere through runtime/actor.hpp)"
    if target in ("torch", "ATen", "c10") and path.parts[:2] != ("gpu", "torch") and path.parts[:3] != ("tests", "unit", "torch"):
        return "LibTorch only in gpu/torch/"
    if top == "tests" or target not in FOLDERS:
        return None
    if path.parts[:2] == ("runtime", "base") and not header.startswith("runtime/base/"):
        return "runtime/base/ includes only itself"
    if top in FLOOR and target != top and not header.startswith("runtime/base/"):
        return f"{top}/ includes only itself and runtime/base/"
    if top == "actors" and target in ("cli", "sim"):
        return "actors/ includes runtime, gym, tools and gpu"
    if top == "sim" and target == "cli":
        return "sim/ includes actors and what actors may include"
    if header.startswith("gpu/torch/") and path.parts[:2] != ("gpu", "torch"):
        return "gpu/torch/ is a plugin: outside of it use the headers of gpu/"
    return None


def arrows(path, lines):
    for number, header in includes(lines):
        if expected := may_include(path, header):
            yield number, f"includes {header}; expected: {expected}"


def own_header_first(path, lines):
    own = path.with_suffix(".hpp")
    if path.suffix == ".cpp" and (ROOT / own).exists():
        number, first = next(includes(lines), (1, "nothing"))
        if first != own.as_posix() and not (path.parts[0] == "tests" and first == own.name):
            yield number, f"first include is {first}; expected: its own header {own.as_posix()}"


def words(path, lines):
    for number, line in enumerate(lines, 1):
        if match := UNFINISHED.search(line):
            yield number, f"found {match[0]}; expected: finished work, or an issue"


def file_length(path, lines):
    if len(lines) > 600:
        yield 600, f"{len(lines)} lines; expected: at most 600 (one purpose a file)"


def model_triple(path, lines):
    text = ROOT / "CONTRIBUTING.md"
    quoted = re.search(rf"^\*\*`{re.escape(path.as_posix())}`\*\*\n```cpp\n(.*?)^```", text.read_text(), re.M | re.S) if text.exists() else None
    if quoted and quoted[1].splitlines() != lines:
        yield 1, "differs from CONTRIBUTING.md; expected: the same text"


def main():
    rules = {rule.__name__: rule for rule in (arrows, own_header_first, words, file_length, model_triple)}
    wanted = sys.argv[2:] or list(rules)
    breaches = 0
    for folder in (*FOLDERS, "tests"):
        for file in sorted((ROOT / folder).rglob("*.[ch]pp")):
            path, lines = file.relative_to(ROOT), file.read_text(errors="replace").splitlines()
            for name in wanted:
                for number, breach in rules[name](path, lines):
                    print(f"{path}:{number}: {breach}")
                    breaches += 1
    return 1 if breaches else 0


ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
if __name__ == "__main__":
    sys.exit(main())
