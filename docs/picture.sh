#!/usr/bin/env bash
# What the picture of the README shows: each command is printed, then run. `docs/picture.py` runs this file in a session.
set -euo pipefail
unset HARNEX_ID HARNEX_RUN_ID HARNEX_CLI  # a person types these commands, not an agent

jq() { command jq -M "$@"; }  # its colours differ from version to version

show() {
  printf '\e[32m$\e[0;1m %s\e[0m\n' "$1"
  eval "$1"
}

show "harnex run demo --detach --id fix --rehearse picture.json -- --permission | jq -c '{id, state}'"
show 'harnex send --id fix --message "Fix the failing test." --no-wait | jq -c "{status}"'
show 'harnex wait --id fix > /dev/null || echo "exit code $?"'
show 'harnex pane --id fix | tail -n 8 | head -n 6'
show 'harnex approve --id fix | jq -c "{ok, dialog}"'
show 'harnex wait --id fix | jq -c "{state, answer: .last_outcome.message}"'
show 'harnex usage --id fix'
show 'harnex stop --id fix | jq -c "{reason, killed}"'
printf '\e[?25l'
