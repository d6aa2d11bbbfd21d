#!/usr/bin/env bash
# The same question to several agents at once; their answers, one JSON line each.
#
#   ask-all.sh question.md codex claude
#
# Options for every `harnex run` go into HARNEX_RUN_OPTIONS.
set -euo pipefail
question=${1:?usage: ask-all.sh QUESTION_FILE CLI...}
shift
ids=()
trap 'for id in "${ids[@]}"; do harnex stop --id "$id" >/dev/null 2>&1 || true; done' EXIT
for cli in "$@"; do
  id="ask-$(basename "$cli")-$$"
  # shellcheck disable=SC2086  # the options are words
  harnex run "$cli" --detach --id "$id" --context-file "$question" ${HARNEX_RUN_OPTIONS:-} >/dev/null
  ids+=("$id")
done
failed=0
for id in "${ids[@]}"; do
  harnex wait --id "$id" --until task_complete --timeout 30m >/dev/null || failed=1
  harnex events --id "$id" --snapshot --type task_complete,turn_failed | tail -n 1
done
exit "$failed"
