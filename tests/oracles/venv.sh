#!/usr/bin/env bash
# Runs a command with the Python packages that the oracles need, in a virtual environment of its own in Troupe's cache.
#   tests/oracles/venv.sh python tests/oracles/tokenizer_fixtures.py
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
place=${TROUPE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/troupe}/oracles
if ! cmp -s "$here/requirements.txt" "$place/requirements.txt"; then
  python3 -m venv "$place"
  "$place/bin/pip" install --quiet -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$place/requirements.txt" # last: an interrupted install is begun anew
fi
PATH="$place/bin:$PATH" exec "$@"
