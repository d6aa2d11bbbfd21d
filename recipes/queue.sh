#!/usr/bin/env bash
# A folder of task files overnight, one after another: each watched and checked, one token budget for all.
#
#   VERIFY="make test" MAX_TOKENS=5000000 queue.sh tasks/ codex --permissions bypass
#
# The words after the CLI go to `harnex run`.
# Exit code: 0 all done, 1 some failed, 2 wrong usage, 5 the budget is used up.
set -euo pipefail
folder=${1:?usage: queue.sh FOLDER CLI [RUN OPTIONS]}
cli=${2:?usage: queue.sh FOLDER CLI [RUN OPTIONS]}
shift 2
mkdir -p "$folder/done" "$folder/failed"
begun=$(date -u +%Y-%m-%dT%H:%M:%SZ)
id="" used=0 failed=0 number=0
finish() {
  [ -z "$id" ] || harnex stop --id "$id" >/dev/null 2>&1 || true
  harnex report --since "$begun" -o "$folder/report.html" 2>/dev/null || true
}
trap finish EXIT

work() { # FILE [RUN OPTIONS]: one task; the watch nudges, waits, resumes, verifies and counts
  local file=$1
  shift
  set -- --turn-timeout "${TASK_TIMEOUT:-2h}" "$@"
  [ -z "${VERIFY:-}" ] || set -- --verify "$VERIFY" --verify-max "$((${TRIES:-3} - 1))" "$@"
  [ -z "${MAX_TOKENS:-}" ] || set -- --max-tokens "$((MAX_TOKENS - used))" "$@"
  harnex run "$cli" --id "$id" --watch --preset "${HARNEX_PRESET:-impl}" --auto-stop --context-file "$file" "$@" \
    </dev/null >&2
}

shopt -s nullglob
for file in "$folder"/*.md; do
  if [ -n "${MAX_TOKENS:-}" ] && ((used >= MAX_TOKENS)); then
    echo "the budget is used up: $used of $MAX_TOKENS tokens; the other tasks are left" >&2
    exit 5
  fi
  number=$((number + 1))
  id="queue-$$-$number"
  code=0
  work "$file" "$@" || code=$?
  case $code in
    0) into=done ;;
    2) exit 2 ;; # no task can be started like this
    5)
      echo "the budget is used up in the middle of $file; it is left, and the other tasks are" >&2
      exit 5
      ;;
    *) into=failed failed=1 ;;
  esac
  harnex stop --id "$id" >/dev/null 2>&1 || true
  tokens=$(harnex history --id "$id" --json | python3 -I -c 'import json, sys; print(sum(r.get("tokens") or 0 for r in json.load(sys.stdin)))')
  used=$((used + tokens))
  mv "$file" "$folder/$into/"
  printf '%s\t%s\t%s\n' "$into" "$tokens" "$(basename "$file")"
  id=""
done
exit "$failed"
