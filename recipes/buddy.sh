#!/usr/bin/env bash
# A second agent reads each answer of a running session, and gives advice when something is wrong.
#
#   buddy.sh fix claude        # `fix` is the session, claude the CLI of its buddy
#
# The script ends with the session. Options for the buddy's `harnex run` go into HARNEX_RUN_OPTIONS.
set -euo pipefail
worker=${1:?usage: buddy.sh SESSION_ID BUDDY_CLI}
cli=${2:?usage: buddy.sh SESSION_ID BUDDY_CLI}
buddy="buddy-of-$worker-$$"
follower=""
trap '[ -z "$follower" ] || kill "$follower" 2>/dev/null || true; harnex stop --id "$buddy" >/dev/null 2>&1 || true' EXIT
field() { python3 -I -c 'import json, sys; print(json.load(sys.stdin).get(sys.argv[1]) or "")' "$1"; }

# shellcheck disable=SC2086  # the options are words
harnex run "$cli" --detach --id "$buddy" --description "advises $worker" ${HARNEX_RUN_OPTIONS:-} </dev/null >/dev/null
given=0
exec 3< <(exec harnex events --id "$worker" --follow --type task_complete,turn_failed,exited)
follower=$!
while read -r event <&3; do
  type=$(printf '%s' "$event" | field type)
  [ "$type" != exited ] || break
  said=$(printf '%s' "$event" | field "$([ "$type" = task_complete ] && echo last_message || echo message)")
  advice=$(printf '%s\n' "You advise another agent, which works in this directory. Its last turn ended ($type). It said:

$said

Its screen:
$(harnex pane --id "$worker" 2>/dev/null || true)

Look at the work tree if you need to, but change nothing. If it is on a good way answer with the one word OK, else
give it your advice in at most five sentences, in words meant for it." |
    harnex send --id "$buddy" --file - --wait-for-idle --timeout "${TURN_TIMEOUT:-30m}" | field last_message) || {
    echo "the buddy gave no answer" >&2
    continue
  }
  printf 'buddy: %s\n' "$advice" >&2
  if [[ $advice =~ ^[[:space:]]*OK[.[:space:]]*$ ]] || ((given >= ${ADVICE_MAX:-5})); then
    continue
  fi
  given=$((given + 1))
  printf 'Advice from a colleague who looks on: %s\n' "$advice" | harnex send --id "$worker" --file - --no-wait >/dev/null || true
done
echo "$given" # how often it advised
