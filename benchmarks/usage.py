"""How fast `harnex usage --from` reads transcripts: MB/s on one core, memory, and against ccusage in the same run.

    python benchmarks/usage.py [--mb 200] [--n 3] [--ccusage PATH]

The corpus is made here, from one seed: Claude Code transcripts and Codex rollouts as they are written, with big
results of tools, one row per content block and repeated usage. Both programs must count the same tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

HARNEX = os.path.join(os.path.dirname(sys.executable), "harnex")
WORDS = (
    "the of and def return self value import for in range print if not None line file path error test assert usage "
    "class data result index total count name key item list dict open read write token input output cache"
).split()


def text(r: random.Random, size: int) -> str:
    """Return words, lines, quotes and a colour now and then, about `size` characters."""
    out: list[str] = []
    left = size
    while left > 0:
        word = r.choice(WORDS)
        end = r.choice((" ", " ", " ", " ", "\n", '"', "\t", ": ", ", "))
        if r.random() < 0.002:
            word = f"\x1b[3{r.randrange(8)}m{word}\x1b[0m"
        out.append(word + end)
        left -= len(word) + len(end)
    return "".join(out)


class Texts:
    """Return long texts cut from one: to write 200 MB must not take minutes."""

    def __init__(self, r: random.Random) -> None:
        self._r = r
        self._base = text(r, 1 << 20)

    def some(self, size: int) -> str:
        at = self._r.randrange(max(1, len(self._base) - size))
        return self._base[at : at + size]


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".123Z"


def claude(folder: Path, size: int, r: random.Random) -> dict[str, int]:
    """Write about `size` bytes of transcripts. Returns what is in them."""
    texts, totals, written = Texts(r), {"calls": 0, "input": 0, "read": 0, "written": 0, "output": 0}, 0
    at = 1.79e9
    while written < size:
        session = str(uuid.UUID(int=r.getrandbits(128), version=4))
        project = folder / "projects" / f"-srv-repos-project-{r.randrange(20)}"
        project.mkdir(parents=True, exist_ok=True)
        head = {
            "isSidechain": False, "userType": "external", "cwd": "/srv/repos/project", "sessionId": session,
            "version": "2.1.329", "gitBranch": "main",
        }  # fmt: skip
        with open(project / f"{session}.jsonl", "w") as f:

            def put(row: dict[str, Any], f: Any = f) -> None:
                nonlocal written
                line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
                f.write(line)
                written += len(line.encode())

            parent = None
            for _ in range(r.randrange(20, 120)):
                at += r.uniform(2, 60)
                when = stamp(at)
                if r.random() < 0.1:
                    put(
                        {
                            "type": "file-history-snapshot",
                            "messageId": str(uuid.uuid4()),
                            "snapshot": {"x": texts.some(200)},
                        }
                    )
                    put({
                        **head, "parentUuid": parent, "type": "user", "uuid": str(uuid.uuid4()), "timestamp": when,
                        "message": {"role": "user", "content": texts.some(r.randrange(50, 2000))},
                    })  # fmt: skip
                usage = {
                    "input_tokens": r.randrange(1, 500), "cache_creation_input_tokens": r.randrange(5000),
                    "cache_read_input_tokens": r.randrange(150_000), "output_tokens": r.randrange(10, 3000),
                    "output_tokens_details": {"thinking_tokens": r.randrange(100)},
                    "server_tool_use": {"web_search_requests": 0}, "service_tier": "standard",
                    "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
                }  # fmt: skip
                usage["cache_creation"]["ephemeral_5m_input_tokens"] = usage["cache_creation_input_tokens"]  # type: ignore[index]
                tools = r.randrange(1, 4)
                ids = [f"toolu_{r.getrandbits(64):016x}" for _ in range(tools)]
                blocks: list[dict[str, Any]] = [
                    {"type": "thinking", "thinking": texts.some(300), "signature": "x" * 300}
                ]
                blocks.append({"type": "text", "text": texts.some(r.randrange(20, 600))})
                for i in ids:
                    given = {"file_path": "/srv/x.py", "content": texts.some(r.choice((100, 300, 4000)))}
                    blocks.append({"type": "tool_use", "id": i, "name": "Write", "input": given})
                call_id, request = f"msg_{r.getrandbits(80):020x}", f"req_{r.getrandbits(80):020x}"
                for block in blocks:
                    put({
                        **head, "parentUuid": parent, "requestId": request, "type": "assistant",
                        "uuid": str(uuid.uuid4()), "timestamp": when,
                        "message": {
                            "id": call_id, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
                            "content": [block], "stop_reason": "tool_use", "stop_sequence": None, "usage": usage,
                        },
                    })  # fmt: skip
                totals["calls"] += 1
                totals["input"] += usage["input_tokens"]
                totals["read"] += usage["cache_read_input_tokens"]
                totals["written"] += usage["cache_creation_input_tokens"]
                totals["output"] += usage["output_tokens"]
                for i in ids:
                    result = texts.some(int(min(200_000, r.paretovariate(1.1) * 1500)))
                    put({
                        **head, "parentUuid": parent, "type": "user", "uuid": str(uuid.uuid4()), "timestamp": when,
                        "message": {
                            "role": "user", "content": [{"tool_use_id": i, "type": "tool_result", "content": result}],
                        },
                        "toolUseResult": {"stdout": result[: len(result) // 2], "interrupted": False},
                    })  # fmt: skip
    return totals


def codex(folder: Path, size: int, r: random.Random) -> dict[str, int]:
    texts, totals, written = Texts(r), {"calls": 0, "input": 0, "read": 0, "written": 0, "output": 0}, 0
    now = [1.79e9]
    while written < size:
        now[0] += 900
        at = now[0]
        thread = f"{int(at * 1000):012x}"
        thread = f"{thread[:8]}-{thread[8:]}-7{r.getrandbits(12):03x}-8{r.getrandbits(12):03x}-{r.getrandbits(48):012x}"
        day = folder / "sessions" / time.strftime("%Y/%m/%d", time.gmtime(at))
        day.mkdir(parents=True, exist_ok=True)
        sums = dict.fromkeys(
            ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens"), 0
        )
        with open(day / f"rollout-{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(at))}-{thread}.jsonl", "w") as f:

            def put(kind: str, payload: dict[str, Any], f: Any = f) -> None:
                nonlocal written
                line = (
                    json.dumps({"timestamp": stamp(now[0]), "type": kind, "payload": payload}, separators=(",", ":"))
                    + "\n"
                )
                f.write(line)
                written += len(line)

            put(
                "session_meta",
                {
                    "id": thread,
                    "cwd": "/srv/repos/project",
                    "originator": "codex_cli_rs",
                    "cli_version": "0.104.0",
                    "source": "cli",
                },
            )
            for n in range(r.randrange(20, 80)):
                now[0] += r.uniform(1, 30)
                if n % 8 == 0:
                    put("event_msg", {"type": "task_started", "turn_id": str(uuid.uuid4())})
                    put("event_msg", {"type": "user_message", "message": texts.some(300)})
                    put("turn_context", {"cwd": "/srv/repos/project", "model": "gpt-5-codex"})
                put("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "x" * 2000})
                call = f"call_{r.getrandbits(64):016x}"
                put(
                    "response_item",
                    {
                        "type": "function_call",
                        "name": "exec_command",
                        "arguments": json.dumps({"cmd": texts.some(200)}),
                        "call_id": call,
                    },
                )
                given, out = r.randrange(1000, 200_000), r.randrange(10, 3000)
                last = {
                    "input_tokens": given,
                    "cached_input_tokens": given * 9 // 10,
                    "output_tokens": out,
                    "reasoning_output_tokens": out // 3,
                    "total_tokens": given + out,
                }
                sums = {k: v + last[k] for k, v in sums.items()}
                put(
                    "event_msg",
                    {
                        "type": "token_count",
                        "info": {"total_token_usage": sums, "last_token_usage": last, "model_context_window": 258400},
                        "rate_limits": None,
                    },
                )
                totals["calls"] += 1
                totals["input"] += last["input_tokens"] - last["cached_input_tokens"]
                totals["read"] += last["cached_input_tokens"]
                totals["output"] += out
                put(
                    "response_item",
                    {
                        "type": "function_call_output",
                        "call_id": call,
                        "output": texts.some(int(min(200_000, r.paretovariate(1.1) * 1500))),
                    },
                )
    return totals


def run(command: list[str], env: dict[str, str], one_core: bool) -> tuple[float, float, int, str]:
    """Return seconds, CPU seconds, peak kB and output."""
    pin = (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})) if one_core else None
    with tempfile.TemporaryFile() as out:
        begun = time.perf_counter()
        child = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.PIPE, preexec_fn=pin)
        assert child.stderr is not None
        errors = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        took = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)}: {errors.decode()}")
        out.seek(0)
        return took, used.ru_utime + used.ru_stime, used.ru_maxrss, out.read().decode()


def measure(cli: str, folder: Path, totals: dict[str, int], n: int, ccusage: str | None) -> None:
    size = sum(p.stat().st_size for p in folder.rglob("*.jsonl"))
    files = sum(1 for _ in folder.rglob("*.jsonl"))
    print(f"{cli}: {size / 1e6:.0f} MB in {files} files, {totals['calls']:,} calls")
    env = {**os.environ, "CLAUDE_CONFIG_DIR": str(folder), "CODEX_HOME": str(folder), "TZ": "UTC", "NO_COLOR": "1"}
    ours = [HARNEX, "usage", "--from", cli, str(folder), "--by", "day", "--json"]
    theirs = [ccusage, *(["codex"] if cli == "codex" else []), "daily", "--json", "--offline"] if ccusage else []
    commands = {"harnex": (ours, False), "harnex, one core": (ours, True)}
    if ccusage:
        commands |= {"ccusage": (theirs, False), "ccusage, one core": (theirs, True)}
    times: dict[str, list[float]] = {name: [] for name in commands}
    cpus: dict[str, list[float]] = {name: [] for name in commands}
    peaks = {}
    for turn in range(n + 1):
        for name, (command, one_core) in commands.items():
            took, cpu, peak, out = run(command, env, one_core)
            if turn:  # the first one warms the cache
                times[name].append(took)
                cpus[name].append(cpu)
            peaks[name] = peak / 1024
            check(name, json.loads(out), totals)
    for name, values in times.items():
        middle, cpu = statistics.median(values), statistics.median(cpus[name])
        print(
            f"  {name:18} {middle:6.2f} s ({min(values):.2f}–{max(values):.2f}, n={n}) {size / 1e6 / middle:4.0f} MB/s;"
            f" CPU {cpu:.2f} s, {size / 1e6 / cpu:4.0f} MB/s; {peaks[name]:.0f} MiB"
        )
    if ccusage:
        for a, b in (("harnex", "ccusage"), ("harnex, one core", "ccusage, one core")):
            clock, cpu = (statistics.median(y / x for x, y in zip(d[a], d[b], strict=True)) for d in (times, cpus))
            print(f"  {a} is {clock:.2f}× as fast as {b} (CPU time {cpu:.2f}×)")


def check(name: str, out: dict[str, Any], totals: dict[str, int]) -> None:
    """Compare the counts: speed is worth nothing if the result is wrong."""
    sums = out["totals"]
    if name.startswith("harnex"):
        assert sums["calls"] == totals["calls"], (sums, totals)
        assert sums["input_tokens"] == totals["input"] + totals["read"] + totals["written"], (sums, totals)
        got = sums["output_tokens"]
    else:
        got = sums["outputTokens"]
    assert got == totals["output"], (name, got, totals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--n", type=int, default=3)
    parser.add_argument("--ccusage", default=shutil.which("ccusage"), help="its program (npm install ccusage)")
    parser.add_argument("--cli", choices=("claude", "codex"), help="only this one")
    options = parser.parse_args()
    for cli, make in (("claude", claude), ("codex", codex)):
        if options.cli not in (None, cli):
            continue
        with tempfile.TemporaryDirectory(prefix="harnex-bench-") as folder:
            totals = make(Path(folder), options.mb * 1_000_000, random.Random(7))
            measure(cli, Path(folder), totals, options.n, options.ccusage)


if __name__ == "__main__":
    main()
