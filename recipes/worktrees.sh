#!/usr/bin/env bash
# Several tasks at once, each in a git work tree and on a branch of its own.
#
#   worktrees.sh codex fix-login.md faster-search.md -- --permissions bypass
#
# The words after -- go to every `harnex run`. Exit code: 1 if any task failed.
set -euo pipefail
cli=${1:?usage: worktrees.sh CLI TASK_FILE... [-- RUN OPTIONS]}
shift
tasks=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  tasks+=("$1")
  shift
done
[ $# -eq 0 ] || shift
[ ${#tasks[@]} -gt 0 ] || { echo "usage: worktrees.sh CLI TASK_FILE... [-- RUN OPTIONS]" >&2; exit 2; }
root=$(git rev-parse --show-toplevel)
base=$(git rev-parse HEAD)
runs=() names=() trees=()
trap 'for run in "${runs[@]}"; do harnex stop --id "$run" >/dev/null 2>&1 || true; done' EXIT

for task in "${tasks[@]}"; do
  name=$(basename "${task%.*}" | tr -cs 'A-Za-z0-9._\n-' '-' | sed 's/^[-.]*//; s/[-.]*$//')
  tree="$root.$name"
  git worktree add -q -b "task/$name" "$tree" "$base"
  reply=$(harnex run "$cli" --detach --id "$name" --cwd "$tree" --trust --context-file "$task" "$@" </dev/null)
  runs+=("$(printf '%s' "$reply" | python3 -I -c 'import json, sys; print(json.load(sys.stdin)["run_id"])')")
  names+=("$name") trees+=("$tree")
done

failed=0
for n in "${!runs[@]}"; do
  how=done
  harnex wait --id "${runs[n]}" --until task_complete --timeout "${TASK_TIMEOUT:-2h}" >/dev/null 2>&1 || { how=failed failed=1; }
  harnex stop --id "${runs[n]}" >/dev/null 2>&1 || true
  commits=$(git rev-list --count "$base..task/${names[n]}")
  left="" # a work tree with changes that were not committed stays
  git worktree remove "${trees[n]}" 2>/dev/null || left="${trees[n]}"
  printf '%s\ttask/%s\t%s commits\t%s\n' "$how" "${names[n]}" "$commits" "$left"
done
exit "$failed"
