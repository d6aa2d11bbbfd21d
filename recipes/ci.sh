#!/usr/bin/env bash
# A task in a CI job: no terminal, a time limit, and everything that happened as artifacts.
#
#   ci.sh codex task.md --permissions auto
#
# The words after the task file go to `harnex run`. Artifacts go to HARNEX_ARTIFACTS (default: harnex-artifacts).
set -euo pipefail
cli=${1:?usage: ci.sh CLI TASK_FILE [RUN OPTIONS]}
task=${2:?usage: ci.sh CLI TASK_FILE [RUN OPTIONS]}
shift 2
out=${HARNEX_ARTIFACTS:-harnex-artifacts}
mkdir -p "$out"
# A state directory of this job alone: runners are shared, and jobs run side by side.
HARNEX_STATE_DIR=$(mktemp -d)
export HARNEX_STATE_DIR
finish() {
  harnex stop --id ci >/dev/null 2>&1 || true
  harnex recover --all >/dev/null 2>&1 || true
  harnex events --id ci --snapshot >"$out/events.jsonl" 2>/dev/null || true
  harnex logs --id ci >"$out/log.txt" 2>/dev/null || true
  harnex history --json --all >"$out/history.json" || true
  harnex report --id ci -o "$out/report.html" 2>/dev/null || true
  rm -rf "$HARNEX_STATE_DIR"
}
trap finish EXIT
trap 'exit 143' TERM INT # a job that is cancelled

harnex run "$cli" --detach --id ci --trust --context-file "$task" --timeout "${JOB_TIMEOUT:-55m}" "$@" </dev/null >/dev/null
code=0
harnex wait --id ci --until task_complete --timeout "${TASK_TIMEOUT:-50m}" >/dev/null || code=$?
if [ "$code" = 4 ]; then harnex pane --id ci >&2 || true; fi
harnex events --id ci --snapshot --type task_complete,turn_failed | tail -n 1
exit "$code"
