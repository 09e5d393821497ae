# shellcheck shell=bash
# Progress of one long command: a counter in a terminal, a plain line every few seconds elsewhere. All on stderr,
# so that the standard output of `./troupe report RUN --json` holds nothing but JSON.

say() { printf '%s\n' "$*" >&2; }
die() { # die STATUS LINE...
  local status=$1 line
  shift
  for line in "$@"; do say "$line"; done
  exit "$status"
}

# stage TITLE ESTIMATE STATUS_FUNCTION COMMAND...
# Runs COMMAND with its output in $stage_log; STATUS_FUNCTION prints a few words on how far it is. Returns its status.
# An ESTIMATE of "-" means that there is probably nothing to do: then nothing is said unless it takes longer than 2 s.
stage() {
  local title=$1 estimate=$2 status_fn=$3 start=$SECONDS status=0
  shift 3
  stage_log=$(mktemp "${TMPDIR:-/tmp}/troupe-stage.XXXXXX")
  [ "$estimate" = - ] || say "> $title (about $estimate)"
  stage_ticker "$title" "$status_fn" $$ 8>&- 9>&- & # without the locks: its sleep may outlive it
  stage_ticker_pid=$!
  disown "$stage_ticker_pid"
  "$@" >"$stage_log" 2>&1 || status=$?
  stage_end
  if [ "$status" -eq 0 ]; then
    [ "$estimate" = - ] && [ $((SECONDS - start)) -le 2 ] || say "  $title: done in $((SECONDS - start)) s"
    rm -f "$stage_log"
  fi
  return "$status"
}

stage_ticker() { # TITLE STATUS_FUNCTION PARENT
  local start=$SECONDS every=4 words
  [ ! -t 2 ] || every=1
  while sleep "$every" >/dev/null 2>&1 && kill -0 "$3" 2>/dev/null; do
    words=$("$2" 2>/dev/null || true)
    if [ -t 2 ]; then
      printf '\r\033[K  %s: %d s%s' "$1" $((SECONDS - start)) "${words:+, $words}" >&2
    else
      printf '  %s: %d s%s\n' "$1" $((SECONDS - start)) "${words:+, $words}" >&2
    fi
  done
}

stage_end() { # also on exit, so that no ticker outlives the wrapper
  [ -n "${stage_ticker_pid:-}" ] || return 0
  kill -KILL "$stage_ticker_pid" 2>/dev/null || true # a TERM in its first moment would wait for its sleep
  stage_ticker_pid=
  [ ! -t 2 ] || printf '\r\033[K' >&2
}

stage_failed() { # shows the end of the failed command's output; the whole of it stays in the file named
  tail -n "${1:-30}" "$stage_log" >&2
  say "  (all of it: $stage_log)"
}

no_words() { :; }
last_log_line() { tail -c 400 "$stage_log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | cut -c 1-70; }
