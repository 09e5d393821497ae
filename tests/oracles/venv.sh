#!/usr/bin/env bash
# Runs a command with the Python packages that the oracles need, in a virtual environment of its own in Troupe's cache.
#   tests/oracles/venv.sh python tests/oracles/tokenizer_fixtures.py
# With --peers as its first word the packages are the engines that `./troupe bench engine` measures against, in another environment; the first
# call builds llama.cpp for this processor (half an hour on one core) and downloads torch with its CUDA libraries (3 GB).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=oracles wanted=$here/requirements.txt
if [ "${1:-}" = --peers ]; then
  name=peers wanted=$here/requirements-peers.txt
  shift
fi
place=${TROUPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/troupe}/$name
if ! cmp -s "$wanted" "$place/requirements.txt"; then
  python3 -m venv "$place"
  CMAKE_BUILD_PARALLEL_LEVEL=${TROUPE_JOBS:-1} CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF" nice \
    "$place/bin/pip" install --quiet --no-binary llama-cpp-python -r "$wanted"
  cp "$wanted" "$place/requirements.txt" # last: an interrupted install is begun anew
fi
PATH="$place/bin:$PATH" exec "$@"
