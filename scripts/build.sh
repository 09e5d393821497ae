# shellcheck shell=bash
# Configure, compile, test.

# announce PRESET COMMAND: what a first call is about to do, and how long each stage takes. Silent when nothing is missing.
announce() {
  local packages names n=0
  mapfile -t names < <(package_names)
  packages=$(missing_packages "${names[@]}" | wc -l)
  [ "$packages" -gt 0 ] || wheels_missing || [ ! -e "$root/build/$1/.built" ] || return 0
  say "Before './troupe $2' some things have to be made, once (times: 2 cores, a home connection of 20 MB/s):"
  [ "$packages" -eq 0 ] || say "  $((n += 1)). Debian packages, $packages missing             1-2 min"
  ! wheels_missing || say "  $((n += 1)). LibTorch and data, 580 MB, and unpacking    1-2 min"
  [ -e "$root/build/$1/.built" ] || say "  $((n += 1)). build                                       5-12 min, seconds when ccache knows it"
}

cache_set() { if [ "$1" = cuda ]; then echo cuda; else echo base; fi; }

known_preset() {
  case $1 in
  release | dev | asan | cuda) ;;
  *) die 2 "found preset '$1', expected release, dev, asan or cuda" ;;
  esac
}

# build PRESET [TARGET...]: configures when the presets or the cache folder changed (CMake's own rules see to the rest),
# then builds. Says nothing when nothing is to do.
build() {
  known_preset "$1"
  local preset=$1 dir=$root/build/$1 key
  mkdir -p "$dir"
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 # a second checkout finds what the first has compiled
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
  (
    until flock -w 4 8; do say "  Another ./troupe builds build/$preset; waiting for it."; done
    key=$(sha256sum <"$root/CMakePresets.json")$libtorch
    if [ ! -e "$dir/build.ninja" ] || [ "$(cat "$dir/.configured" 2>/dev/null)" != "$key" ]; then
      stage "configure ($preset)" "10 s" last_log_line \
        cmake -S "$root" --preset "$preset" "-DLIBTORCH_ROOT=$libtorch" || { stage_failed 30; exit 1; }
      echo "$key" >"$dir/.configured"
    fi
    local estimate=-
    [ -e "$dir/.built" ] || estimate="5-12 min without ccache's help"
    NINJA_STATUS='[%f/%t] ' stage "build ($preset)" "$estimate" ninja_words \
      ninja -C "$dir" -j "${TROUPE_JOBS:-$(nproc)}" "${@:2}" || { build_failed $?; exit 1; }
    touch "$dir/.built"
  ) 8>"$dir/.lock" || exit
}

ninja_words() { # [31/120] runtime/actor.cpp
  grep -o '^\[[0-9]*/[0-9]*\].*' "$stage_log" | tail -n 1 |
    sed -e 's/Building CXX object //' -e 's/\(Linking\) CXX [a-z]* [a-z]* /\1 /' -e 's/CMakeFiles.[a-z_]*.dir.//' -e 's/[.]o$//' | cut -c 1-70
}

build_failed() { # STATUS of ninja
  [ "$1" -ne 130 ] || exit 130
  { sed -n '/^FAILED/,$p' "$stage_log" | grep -v ' -c ' | head -n 80; } >&2
  grep -q '^FAILED' "$stage_log" || tail -n 30 "$stage_log" >&2
  say "The build failed (all of its output: $stage_log)."
}

# run_tests [--preset PRESET] [--all] [FILTER]: FILTER is the name of a test program (test_gym), or a part of a test's name.
# --all: every repetition that was promised instead of a choice of them (tests/README.md); a program may take two hours then.
run_tests() {
  local preset=release filter='' status=0 results choice=() gtest_filter='*' patience=900 takes="2-5 min"
  while [ $# -gt 0 ]; do
    case $1 in
    --preset)
      preset=${2:?--preset needs a name}
      shift
      ;;
    --all)
      export TROUPE_ALL=1 TROUPE_SIM_FACTOR=${TROUPE_SIM_FACTOR:-10} TROUPE_TRACE_PAIRS=${TROUPE_TRACE_PAIRS:-100}
      patience=7200 takes="long"
      ;;
    -*) die 2 "./troupe test: found '$1', expected --preset PRESET, --all or a filter" ;;
    *) filter=$1 ;;
    esac
    shift
  done
  known_preset "$preset"
  announce "$preset" test
  setup "$(cache_set "$preset")"
  ensure_promtool
  ensure_smollm2
  ensure_clients
  case $filter in
  test_*) build "$preset" "$filter" ;;
  *) build "$preset" ;;
  esac
  results=$root/build/$preset/test-results
  rm -rf "$results"
  mkdir -p "$results"
  if [ -n "$filter" ] && ctest --test-dir "$root/build/$preset" -N | grep -qE "Test +#[0-9]+: $filter\$"; then
    choice=(-R "^$filter\$")
  elif [ -n "$filter" ]; then
    choice=(-R '^test_')
    gtest_filter="*$filter*"
  fi
  GTEST_FILTER=$gtest_filter GTEST_OUTPUT="xml:$results/" GTEST_COLOR=no GTEST_BRIEF=1 \
    stage "tests" "$takes" ctest_words ctest --test-dir "$root/build/$preset" --output-on-failure --no-tests=error \
    -j "${TROUPE_JOBS:-$(nproc)}" --timeout "$patience" --output-junit "$results/ctest.junit" "${choice[@]}" || status=$?
  [ "$status" -eq 0 ] || sed -e '/^ *Start /d' "$stage_log"
  python3 "$root/scripts/test_summary.py" "$results/ctest.junit" "$results" || status=$?
  exit "$status"
}

ctest_words() { # 16 of 18 done, now: test_system
  awk '/^ *Start +[0-9]+: / { running[$3] = 1 }
       match($0, /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: /) { split($1, n, "/"); rest = substr($0, RSTART + RLENGTH); split(rest, w, " "); delete running[w[1]] }
       END { for (name in running) names = names " " name; if (n[2]) printf "%d of %d done, ", n[1], n[2]; if (names) printf "now:%s", names }' "$stage_log"
}

clean() {
  case ${1:-} in
  '') rm -rf "$root/build" ;;
  --cache) rm -rf "$root/build" "$TROUPE_CACHE" ;;
  *) die 2 "./troupe clean: found '$1', expected nothing or --cache" ;;
  esac
}
