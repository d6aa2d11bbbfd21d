#!/usr/bin/env bash
# Start an agent on a task with a watch, a check of the work and limits; report how it went.
#
#   fire-and-watch.sh codex task.md --verify "make test" --deadline 07:00 --max-tokens 5000000 --permissions bypass
#
# The words after the task file go to `harnex run`. HARNEX_PRESET names the policy (default: impl).
set -euo pipefail
cli=${1:?usage: fire-and-watch.sh CLI TASK_FILE [RUN OPTIONS]}
task=${2:?usage: fire-and-watch.sh CLI TASK_FILE [RUN OPTIONS]}
shift 2
id="watch-$$"

# The agent is started detached, then followed: killing this script touches neither the agent nor its watch.
harnex run "$cli" --detach --id "$id" --watch --preset "${HARNEX_PRESET:-impl}" --auto-stop \
  --context-file "$task" "$@" >/dev/null
echo "session $id; to follow it from elsewhere: harnex watch --id $id" >&2

code=0
harnex watch --id "$id" >&2 || code=$?
case $code in
  0) echo "done" >&2 ;;
  4) echo "a person is needed: harnex attach --id $id (if it still runs), harnex pane --id $id" >&2 ;;
  5) echo "the budget is spent" >&2 ;;
  124) echo "the time is over" >&2 ;;
  *) echo "failed" >&2 ;;
esac
harnex usage --id "$id" --json | python3 -I -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["totals"]))'
harnex report --id "$id" -o "$id.html" >&2
exit "$code"
