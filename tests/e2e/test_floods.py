"""A child prints as fast as it can, the kinds of output that cost most:
everybody else is still served."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import pytest

from harnex import times
from harnex.client import connect

from .conftest import Harnex
from .test_exec import Fake

FLOOD = """
import os, sys, time, tty
tty.setraw(0)
kind, size, go = sys.argv[1].encode().decode("unicode_escape").encode("latin-1"), int(sys.argv[2]), sys.argv[3]
print("ready", flush=True)
while not os.path.exists(go):
    time.sleep(0.01)
data = memoryview((kind * (size // len(kind) + 1))[:size])
while data:
    data = data[os.write(1, data):]
os.write(1, b"\\x1bc\\x1b[0mflooded\\r\\n")
time.sleep(600)
"""


def flooding(harnex: Harnex, kind: bytes, size: int) -> dict[str, Any]:
    """Start a session whose child floods as soon as the file `go` exists. Returns its record."""
    program = harnex.base / "flood.py"
    program.write_text(FLOOD)
    word = kind.decode("latin-1").encode("unicode_escape").decode()
    harnex.ok(
        "run", sys.executable, "--detach", "--id", "flood", "--", str(program), word, str(size), str(harnex.base / "go")
    )
    harnex.until(lambda: "ready" in harnex.ok("pane", "--id", "flood"), what="it runs")
    return dict(harnex.json("status", "--json", "--id", "flood")[0])


def round_trip(record: dict[str, Any], op: str) -> float:
    begun = time.monotonic()
    assert connect.request(record, {"op": op}, 120)["ok"]
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(b"x\x1b[6n", id="text and cursor queries"),
        pytest.param("漢".encode() + b"\x1b[9999b", id="wide repeats"),
        pytest.param(b"\x1b#8\x1b[?1049h\x1b[J\x1b[?1049l", id="screens"),
        pytest.param(b"\x1b[9999I\x1b[9999Z\x1b[9999L", id="tabs and lines"),
    ],
)
def test_the_control_socket_is_served_in_a_flood(harnex: Harnex, kind: bytes) -> None:
    """The control socket answers in a flood.

    Each of these kinds once held up the loop for 20 to 200 s. In a quiet moment an answer takes a
    millisecond. In a flood it takes one pass of the loop more: some hundredths of a second, and
    many times that on a busy machine.
    """
    record = flooding(harnex, kind, 120_000)
    idle = sorted(round_trip(record, "status") for _ in range(20))[10]
    (harnex.base / "go").touch()
    worst, end = 0.0, time.monotonic() + 60
    while "flooded" not in harnex.ok("pane", "--id", "flood") and time.monotonic() < end:
        for op in ("status", "pane"):
            worst = max(worst, round_trip(record, op))
    assert "flooded" in harnex.ok("pane", "--id", "flood")
    assert worst < max(4.0, 300 * idle)
    begun = time.monotonic()
    harnex.ok("stop", "--force", "--id", "flood")
    assert time.monotonic() - begun < 20


def test_a_child_that_asks_and_never_reads_the_answers(harnex: Harnex) -> None:
    """After 8 MB of unread answers the session once ended with "a bug"."""
    flooding(harnex, b"\x1b]4;1;?;2;?;3;?;4;?\x07", 3_000_000)
    (harnex.base / "go").touch()
    harnex.until(lambda: "flooded" in harnex.ok("pane", "--id", "flood"), 40, "all of it was read")
    said = [r["what"] for r in harnex.events("flood", "diagnostic")]
    assert set(said) == {"the agent asks its terminal, and does not read the answers: they are left out"}
    assert len(said) <= 5, "a storm is told at powers of ten"
    harnex.ok("stop", "--force", "--id", "flood")


def test_attach_in_a_flood_shows_where_it_ends(harnex: Harnex) -> None:
    """A viewer that comes in the middle gets a picture as soon as there
    is one, and then the rest."""
    record = flooding(harnex, b"\x1b#8\x1b[9999L", 250_000)
    (harnex.base / "go").touch()
    sock = connect.connect(record, 60)
    sock.sendall(json.dumps({"op": "attach", "columns": 80, "rows": 24}).encode() + b"\n")
    seen = b""
    while b"flooded" not in seen:
        data = sock.recv(1 << 16)
        assert data, "the connection is kept"
        seen = (seen + data)[-(1 << 20) :]
    sock.close()
    harnex.ok("stop", "--force", "--id", "flood")


def test_what_a_tool_left_behind_floods_the_pipe(harnex: Harnex) -> None:
    """The agent is gone and its answer is there: nobody waits for the end of
    the noise, which never ends."""
    body = (
        "begin()\n"
        "subprocess.Popen(['sh', '-c', \"trap '' INT TERM; while :; do echo noise noise noise; done\"], "
        "start_new_session=True)\n"
        "answer('forty-two')\n"
    )
    done = Fake(harnex, body).run(timeout=60)
    assert (done.returncode, done.stdout) == (0, "forty-two\n")


def test_a_row_of_some_megabytes_and_many_small_ones(harnex: Harnex) -> None:
    """Rows are taken in slices, in their order, and none is lost, however
    late the agent's end comes."""
    body = (
        "begin()\n"
        "row(type='user', message={'content': [{'type': 'text', 'text': 'word -x ' * 300_000}]})\n"
        'sys.stdout.write(\'{"type":"x"}\\n\' * 5_000)\n'
        "print('no json at all', flush=True)\n"
        "answer('after all of that')\n"
    )
    fake = Fake(harnex, body)
    done = fake.run(timeout=60)
    assert (done.returncode, done.stdout) == (0, "after all of that\n")
    kept = next(text for name, text in fake.files().items() if name.endswith("stream.jsonl")).splitlines()
    assert [len(line) > 2_000_000 for line in kept[:3]] == [False, True, False]
    assert len(kept) == 2 + 5_000 + 2


STORM = """
import os, sys, time, tty
tty.setraw(0)
kinds, count = [kind.encode() for kind in sys.argv[1].split("|")], int(sys.argv[2])
os.write(1, b"\\x1b]7501;state=idle\\x1b\\\\")
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
data = memoryview(b"".join(b"\\x1b]" + kinds[n % len(kinds)] % n + b"\\x1b\\\\" for n in range(count)))
while data:
    data = data[os.write(1, data):]
os.write(1, b"\\x1b]0;\\x1b\\\\\\x1b]7501;state=idle\\x1b\\\\\\r\\nover\\r\\n")
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("kinds", "storms"),
    [
        pytest.param("7501;state=working:n=%d|7501;state=idle:n=%d", 1, id="work and rest"),
        pytest.param("7501;state=blocked:kind=question:n=%d|7501;state=blocked:kind=plan:n=%d", 1, id="dialogs"),
        pytest.param("7501;state=clear:n=%d|7501;state=nonsense%d|7501;state=working:n=%d", 1, id="clear and nonsense"),
        pytest.param("7501;state=clear:n=%d|0;⠋ %d|0;title %d", 0, id="titles, which are waited for"),
    ],
)
def test_a_storm_of_states_is_few_events(harnex: Harnex, kinds: str, storms: int) -> None:
    """Each change of a storm was once a `state` event: 72,369 events and 17 MB of them in 16 s."""
    program, go = harnex.base / "storm.py", harnex.base / "go"
    program.write_text(STORM)
    harnex.ok("run", sys.executable, "--detach", "--id", "storm", "--", str(program), kinds, "30000", str(go))
    harnex.ok("wait", "--id", "storm", "--until", "prompt", "--timeout", "20")
    go.touch()
    harnex.until(lambda: "over" in harnex.ok("pane", "--id", "storm"), 40, "all of it was read")
    harnex.ok("wait", "--id", "storm", "--until", "prompt", "--timeout", "20")
    assert harnex.json("status", "--json", "--id", "storm")[0]["state"] == "prompt", "the last word wins"
    states = harnex.events("storm", "state")
    assert states[-1]["state"] == "prompt"
    told_at = sorted(times.parse_iso(row["ts"]) for row in states)
    assert all(later - at >= 1.0 for at, later in zip(told_at, told_at[20:], strict=False)), "20 in any second at most"
    stormy = [row["what"] for row in harnex.events("storm", "diagnostic") if "very often" in row["what"]]
    assert len(stormy) == storms
    assert len(harnex.events("storm")) <= 4 * len(states) + 20
    harnex.ok("stop", "--force", "--id", "storm")
