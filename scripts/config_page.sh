#!/usr/bin/env bash
# config_page.sh PROGRAM [--check]: writes docs/config.md from what `troupe config explain` says; --check: or tells whether
# it is what would be written (a test, so that the page and the program never differ).
set -euo pipefail
page=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../docs/config.md
fresh=$(sed '/^<!-- made by scripts/q' "$page" && "$1" config explain --markdown)
case ${2:-} in
'') printf '%s\n' "$fresh" >"$page" ;;
--check) diff "$page" - <<<"$fresh" || { echo "docs/config.md is not what the program says; make it: scripts/config_page.sh $1" && exit 1; } ;;
esac
