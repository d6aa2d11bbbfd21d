#!/usr/bin/env bash
# One task for one agent: start it, wait, print its answer, stop it. Exit code: how the task ended.
#
#   one-task.sh codex task.md --permissions bypass
#
# The words after the task file go to `harnex run`.
set -euo pipefail
cli=${1:?usage: one-task.sh CLI TASK_FILE [RUN OPTIONS]}
task=${2:?usage: one-task.sh CLI TASK_FILE [RUN OPTIONS]}
shift 2
id="one-task-$$"

harnex run "$cli" --detach --id "$id" --context-file "$task" "$@" >/dev/null
trap 'harnex stop --id "$id" >/dev/null 2>&1 || true' EXIT

code=0
harnex wait --id "$id" --until task_complete --timeout 2h >/dev/null || code=$?
case $code in
  0) echo "done" >&2 ;;
  4) echo "a person is needed; the screen:" >&2; harnex pane --id "$id" >&2 ;;
  124) echo "not done in time; the screen:" >&2; harnex pane --id "$id" >&2 ;;
  *) echo "failed" >&2 ;;
esac
harnex events --id "$id" --snapshot --type task_complete,turn_failed | tail -n 1
exit "$code"
