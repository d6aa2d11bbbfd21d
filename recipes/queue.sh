#!/usr/bin/env bash
# A folder of task files, one after another, overnight: each verified, with a budget of tokens for all.
#
#   VERIFY="make test" MAX_TOKENS=5000000 queue.sh tasks/ codex --permissions bypass
#
# The words after the CLI go to `harnex run`. Exit code: 0 all done, 1 some failed, 5 the budget is used up.
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

verify() { # what failed on stdout: its head and its tail
  [ -n "${VERIFY:-}" ] || return 0
  local out code=0
  out=$(bash -c "$VERIFY" 2>&1) || code=$?
  [ "$code" != 0 ] || return 0
  local lines
  lines=$(printf '%s\n' "$out" | wc -l)
  printf '`%s` failed (exit code %s). Its output:\n\n' "$VERIFY" "$code"
  if ((lines > 60)); then
    printf '%s\n' "$out" | head -n 20
    printf '[%s lines left out]\n' "$((lines - 60))"
    printf '%s\n' "$out" | tail -n 40
  else
    printf '%s\n' "$out"
  fi
  return 1
}

work() { # FILE: one task, verified at most TRIES times
  local file=$1 why try
  shift
  harnex run "$cli" --detach --id "$id" --context-file "$file" "$@" </dev/null >/dev/null || return 1
  harnex wait --id "$id" --until task_complete --timeout "${TASK_TIMEOUT:-2h}" >/dev/null || return 1
  for ((try = 1; ; try++)); do
    why=$(verify) && return 0
    echo "$file: verify failed ($try)" >&2
    ((try < ${TRIES:-3})) || return 1
    printf '%s\n\nMend it.\n' "$why" |
      harnex send --id "$id" --file - --wait-for-idle --timeout "${TASK_TIMEOUT:-2h}" >/dev/null || return 1
  done
}

shopt -s nullglob
for file in "$folder"/*.md; do
  if [ -n "${MAX_TOKENS:-}" ] && ((used >= MAX_TOKENS)); then
    echo "the budget is used up: $used of $MAX_TOKENS tokens; the other tasks are left" >&2
    exit 5
  fi
  number=$((number + 1))
  id="queue-$$-$number"
  if work "$file" "$@"; then into=done; else into=failed failed=1; fi
  harnex stop --id "$id" >/dev/null 2>&1 || true
  tokens=$(harnex history --id "$id" --json | python3 -c 'import json, sys; print(sum(r.get("tokens") or 0 for r in json.load(sys.stdin)))')
  used=$((used + tokens))
  mv "$file" "$folder/$into/"
  printf '%s\t%s\t%s\n' "$into" "$tokens" "$(basename "$file")"
  id=""
done
exit "$failed"
