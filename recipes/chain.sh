#!/usr/bin/env bash
# Plan, implement, review, fix: each step by an agent of your choice, until the reviewer approves.
#
#   chain.sh task.md codex claude codex        # planner, implementer, reviewer (default: the first one for all)
#
# Options for every `harnex run` go into HARNEX_RUN_OPTIONS.
# Exit code: 0 approved, 1 not approved after ROUNDS reviews (3).
set -euo pipefail
task=${1:?usage: chain.sh TASK_FILE PLANNER [IMPLEMENTER [REVIEWER]]}
planner=${2:?usage: chain.sh TASK_FILE PLANNER [IMPLEMENTER [REVIEWER]]}
implementer=${3:-$planner}
reviewer=${4:-$planner}
plan_id="chain-plan-$$" work_id="chain-work-$$" review_id="chain-review-$$"
trap 'for id in "$plan_id" "$work_id" "$review_id"; do harnex stop --id "$id" >/dev/null 2>&1 || true; done' EXIT

start() { # CLI ID
  # shellcheck disable=SC2086  # the options are words
  harnex run "$1" --detach --id "$2" ${HARNEX_RUN_OPTIONS:-} </dev/null >/dev/null
}
ask() { # ID TEXT -> the answer on stdout; a failed turn ends the script with its exit code
  local reply code=0
  reply=$(printf '%s\n' "$2" | harnex send --id "$1" --file - --wait-for-idle --timeout "${TURN_TIMEOUT:-2h}") || code=$?
  printf '%s' "$reply" | python3 -I -c 'import json, sys; print(json.load(sys.stdin).get("last_message") or "")'
  return "$code"
}

start "$planner" "$plan_id"
plan=$(ask "$plan_id" "Plan the following task in numbered steps. Change no file; answer with the plan only.

$(cat "$task")")
harnex stop --id "$plan_id" >/dev/null
printf 'plan by %s:\n%s\n' "$planner" "$plan" >&2

start "$implementer" "$work_id"
start "$reviewer" "$review_id"
done_by=$(ask "$work_id" "Do this task:

$(cat "$task")

Keep to this plan:

$plan")
for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
  verdict=$(ask "$review_id" "Review the changes in this work tree (git status, git diff) against this task:

$(cat "$task")

Their author says: $done_by

Change nothing. If nothing must change answer with the one word APPROVED, else with the list of what must.")
  printf 'review %s by %s: %s\n' "$round" "$reviewer" "$verdict" >&2
  if [[ $verdict =~ ^[[:space:]]*APPROVED[.[:space:]]*$ ]]; then
    printf '%s\n' "$done_by"
    exit 0
  fi
  if ((round < ${ROUNDS:-3})); then
    done_by=$(ask "$work_id" "A review found this; fix it:

$verdict")
  fi
done
echo "not approved" >&2
exit 1
