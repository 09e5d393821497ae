# shellcheck shell=bash
# Format and static checks. Their tools are Debian packages that only these verbs need.

sources() { git -C "$root" ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' | sed "s|^|$root/|"; }

format() { # [--check]
  ensure_packages clang-format
  local mode=(-i)
  case ${1:-} in
  '') ;;
  --check) mode=(--dry-run --Werror) ;;
  *) die 2 "./troupe format: found '$1', expected nothing or --check" ;;
  esac
  sources | xargs -r -P "$(nproc)" -n 16 clang-format "${mode[@]}"
}

# changed_sources: .cpp files that differ from the main branch's last commit on the remote, or from the last commit.
changed_sources() {
  local base
  base=$(git -C "$root" merge-base HEAD origin/main 2>/dev/null) || base=HEAD
  { git -C "$root" diff --name-only --diff-filter=d "$base" -- '*.cpp'
    git -C "$root" ls-files --others --exclude-standard '*.cpp'; } | sort -u | sed "s|^|$root/|"
}

lint() { # [--all]
  local files status=0
  case ${1:-} in
  '') mapfile -t files < <(changed_sources) ;;
  --all) mapfile -t files < <(sources | grep '\.cpp$') ;;
  *) die 2 "./troupe lint: found '$1', expected nothing or --all" ;;
  esac
  ensure_packages clang-format clang-tidy-19 shellcheck
  setup
  build release
  format --check || status=1
  shellcheck -x -P "$root" "$root/troupe" "$root/.ci/run" || status=1
  python3 "$root/scripts/check_tree.py" "$root" || status=1
  if [ ${#files[@]} -gt 0 ]; then
    printf '%s\0' "${files[@]}" | stage "clang-tidy on ${#files[@]} files" "$((${#files[@]} * 12 / $(nproc) + 5)) s" no_words \
      xargs -0 -P "$(nproc)" -n 1 clang-tidy-19 -p "$root/build/release" --quiet || { stage_failed 200; status=1; }
  fi
  exit "$status"
}
