"""Messages arrive as text, whole, once and in order, whatever they begin with and however long they are.

Held against the requests that the endpoint got.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from tests.real.conftest import Agent

pytestmark = pytest.mark.timeout(120)  # the old CLIs are slow on a busy machine

TEXTS = (
    "/help is a command, this is not",
    "!echo not a shell command",
    "# not a memory",
    "@nothing is not a file",
    "/exit",
    "a\nb\n\nc",
    "é ✓ 日本語 “quoted” $HOME `x` \\",
    "x" * 1000,
    " ".join(f"word{n}" for n in range(520))[:4000],
    "\n".join(f"{n:04d} a line of a longer task, with its own words" for n in range(400)),
)
PNG = (
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c020000000b4944415478da6364f80f00010501012718e366"
    "0000000049454e44ae426082"
)
WRAPPED = re.compile(r'\s*<(pasted_content id="\w+")>\n')


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def arrived(request: dict[str, Any], text: str) -> bool:
    """Whether the newest prompt of a request is that text: but for blanks around it, the blank that keeps
    its first character from being a key, and the tag that Claude Code 2.1.329 puts around a paste."""
    head = str(request["prompt_head"])
    wrapper = WRAPPED.match(head)
    before, after = (wrapper.group(0), f"\n</{wrapper.group(1)}>") if wrapper else ("", "")
    for guard in ("", " ", "\u2800", "\u200b"):
        for tail in ("", " "):
            for end in ("", "\n", "\n\n"):
                if sha(before + guard + text + tail + after + end) == request["prompt_sha256"]:
                    return True
    return False


def check_requests(agent: Agent, session_id: str, texts: tuple[str, ...]) -> None:
    requests = agent.log(session_id, "request")
    wrong = [
        (text[:60], request["prompt_chars"], len(text), request["prompt_head"])
        for text, request in zip(texts, requests, strict=True)
        if not arrived(request, text)
    ]
    assert not wrong
    assert len(requests[-1]["prompts"]) == len(texts)
    assert len({p["sha256"] for p in requests[-1]["prompts"]}) == len(texts)


def test_any_text_arrives_as_text_and_whole(agent: Agent) -> None:
    agent.start("texts", *[f"Answer {n}." for n in range(len(TEXTS))])
    for n, text in enumerate(TEXTS):
        sent = agent.send("texts", text)
        assert (sent["turn"], sent["last_message"]) == (n + 1, f"Answer {n}.")
    check_requests(agent, "texts", TEXTS)
    assert [e["status"] for e in agent.events("texts", "delivery")] == ["queued", "typed", "accepted"] * len(TEXTS)
    assert agent.stop("texts")["reason"] == "stopped"  # and nothing in the box was in the way
    agent.check_ended("texts")


def test_200_kb_arrive_whole_and_once(agent: Agent) -> None:
    if not agent.newest:
        pytest.skip("old versions freeze for half a minute")
    text = "\n".join(f"line {n} " + "y" * 90 for n in range(2000))
    path = agent.place.base / "big.md"
    path.write_text(text)
    agent.start("big", "Read.")
    sent = agent.place.json("send", "--id", "big", "--file", str(path), "--wait-for-idle", "--timeout", "45")
    assert sent["last_message"] == "Read."
    check_requests(agent, "big", (text,))
    agent.stop("big")
    agent.check_ended("big")


@pytest.mark.newest
def test_twenty_messages_in_a_row(agent: Agent) -> None:
    """Answers that come at once: none is lost, doubled, or taken for the one before."""
    agent.start("row", *[f"answer {n}" for n in range(20)])
    for n in range(20):
        sent = agent.send("row", f"message {n}")
        assert (sent["turn"], sent["outcome"], sent["last_message"]) == (n + 1, "completed", f"answer {n}")
    check_requests(agent, "row", tuple(f"message {n}" for n in range(20)))
    rows = agent.events("row", "turn_started", "task_complete", "turn_failed")
    assert [r["type"] for r in rows] == ["turn_started", "task_complete"] * 20
    assert [r["turn"] for r in rows] == [n for n in range(1, 21) for _ in range(2)]
    assert [r["last_message"] for r in rows[1::2]] == [f"answer {n}" for n in range(20)]
    agent.stop("row")
    agent.check_ended("row")


@pytest.mark.newest
def test_messages_that_are_queued_while_it_works(agent: Agent) -> None:
    """Ruby harnex typed into a running turn; here each waits for its own turn."""
    place = agent.place
    agent.start("queue", {"text": "a", "tools": [{"bash": "sleep 1"}]}, "one", "two", "three")
    for n in range(3):
        assert place.json("send", "--id", "queue", "--message", f"message {n}", "--no-wait")["status"] == "queued"
    done = agent.wait("queue", "task_complete")
    assert (done["turn"], done["last_outcome"]["message"]) == (3, "three")
    heads = [r["prompt_head"].strip() for r in agent.log("queue", "request")]
    assert heads == ["message 0", "message 0", "message 1", "message 2"]
    agent.stop("queue")
    agent.check_ended("queue")


# In front of a command: control characters, which the paste leaves out; what a box removes or trims; what stays.
PREFIXES = (
    "\x01",
    "\x1b",
    "\x7f",
    "\x85",
    "\u200b",
    "\ufeff",
    "\u2060\xad",
    "\u034f",
    "\u2028",
    "\xa0\t",
    "\n",
    "\u0301",
)


@pytest.mark.newest
def test_nothing_in_front_of_a_command_makes_it_one(agent: Agent) -> None:
    """Neither a shell command, nor a command of the CLI (a known one, which would be run), nor the end of it."""
    place = agent.place
    marker = place.work / "RAN"
    command = "/status" if agent.cli == "codex" else "/zzz"
    if agent.cli == "claude":
        (place.work / ".claude" / "commands").mkdir(parents=True)
        (place.work / ".claude" / "commands" / "zzz.md").write_text("THE COMMAND RAN\n")
    commands = (f"!touch '{marker}'", command)
    texts = [p + commands[n % 2] for n, p in enumerate((*PREFIXES, *PREFIXES[1:4]))]
    texts += ["\u200bexit", "\x01quit", "!\u200btouch x", "/\u200bzzz"]
    agent.start("texts", *[f"Answer {n}." for n in range(len(texts))], bypass=False)
    for n, text in enumerate(texts):
        sent = agent.send("texts", text)
        assert (sent["turn"], sent["last_message"]) == (n + 1, f"Answer {n}."), ascii(text)
        assert not marker.exists(), ascii(text)
    heads = [str(r["prompt_head"]) for r in agent.log("texts", "request")]
    words = [re.sub(r"\W", "", text)[:9] for text in texts]
    assert [w for w, head in zip(words, heads, strict=True) if w not in re.sub(r"\W", "", head)] == []
    assert not any("THE COMMAND RAN" in head for head in heads)
    agent.stop("texts")
    agent.check_ended("texts")


@pytest.mark.newest
def test_a_path_of_a_picture_and_tabs(agent: Agent) -> None:
    """A path alone would be attached as a picture. Tabs arrive as such in Codex; Claude Code's change is told."""
    place = agent.place
    picture = place.work / "pic.png"
    picture.write_bytes(bytes.fromhex(PNG))
    texts = (str(picture), f"'{picture}'", f"Two:\n{picture}\n{picture}", "all:\n\tmake")
    agent.start("texts", *[f"Answer {n}." for n in range(len(texts))])
    sent = [agent.send("texts", text) for text in texts]
    heads = [str(r["prompt_head"]) for r in agent.log("texts", "request")]
    assert ["pic.png" in head for head in heads] == [True, True, True, False]  # of the log: the first 200 characters
    assert not any("[Image" in head for head in heads)
    assert ("\tmake" in heads[3]) is (agent.cli == "codex")
    assert [s.get("note") for s in sent] == [None] * 3 + [
        None if agent.cli == "codex" else "Claude Code makes four spaces of each tab"
    ]
    agent.stop("texts")
    agent.check_ended("texts")


@pytest.mark.newest
def test_a_prompt_of_exec_is_no_command_either(agent: Agent) -> None:
    place = agent.place
    (place.work / ".claude" / "commands").mkdir(parents=True)
    (place.work / ".claude" / "commands" / "zzz.md").write_text("THE COMMAND RAN\n")
    for text in ("/zzz", "\u200b/zzz", " /zzz"):
        words = ("exec", agent.cli, "-", "--id", "once", "--rehearse", place.script("An answer."))
        assert place.ok(*words, input=text).strip() == "An answer."
        run = max((place.state / "runs").iterdir()).name
        heads = [str(r["prompt_head"]) for r in agent.log(run, "request")]
        assert len(heads) == 1
        assert "/zzz" in heads[0]
