"""`harnex report`: a page that holds what the files say, loads nothing,
and quotes without obeying."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import psutil
import pytest

from harnex.report.page import text

from .conftest import Harnex

EVIL = "<script>document.title='pwned'</script><img src=http://evil.example/x onerror=alert(1)>&amp;\"'"
VOID = {"meta", "img", "br", "link", "input", "hr"}
# These tags close themselves in SVG; HTML's parser reports them as start tags with `/>`.


class Page(HTMLParser):
    """Checks that tags nest, and collects what the page holds."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}>"

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check(text: str) -> Page:
    """Check what is true of every page."""
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    for tag in ("script", "img", "link", "iframe", "object", "base", "form", "image", "use", "foreignobject"):
        assert page.named(tag) == [], tag
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            assert name not in ("src", "style", "action", "xlink:href", "srcset", "background"), name
            assert name != "href" or str(value).startswith("#run-"), value
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert "url(" not in style and "@import" not in style and "http" not in style
    assert "prefers-color-scheme:dark" in style and "@media print" in style
    anchors = {a["id"] for a in page.named("section")}
    assert {str(a["href"])[1:] for a in page.named("a")} <= anchors
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    return page


@pytest.fixture
def night(harnex: Harnex) -> Harnex:
    """Make three sessions: one with turns, tools, a failure and a commit, whose model prints
    markup; one that was lost; and one that lives."""
    shutil.rmtree(harnex.work / ".git")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "before"]):
        subprocess.run([*git, *words], cwd=harnex.work, check=True, env=harnex.env)
    time.sleep(1.1)  # git's times are whole seconds
    commit = f"git -c user.name=A -c user.email=a@b commit -q --allow-empty -m 'Made: {EVIL[:32]}'"
    commit = commit.replace("document.title='pwned'", "x").replace("='p", "=p")
    harnex.agent(
        "night",
        {"text": EVIL, "tools": [{"bash": "printf '%s' '<b>bold</b>'; " + commit}]},
        {"text": f"Done {EVIL}"},
        {"error": 400},
        run=("--description", EVIL),
    )
    harnex.ok("send", "--id", "night", "--message", f"Please {EVIL}", "--wait-for-idle")
    assert harnex.run("send", "--id", "night", "--message", "fail", "--wait-for-idle").returncode == 1
    harnex.ok("stop", "--id", "night")
    harnex.agent("lost", {"text": "x"})
    psutil.Process(next(r for r in harnex.json("status", "--json") if r["id"] == "lost")["supervisor_pid"]).kill()
    harnex.agent("alive", {"text": "y"})
    return harnex


def test_a_report_of_one_run(night: Harnex) -> None:
    out = night.base / "the pägé.html"
    night.ok("report", "--id", "night", "-o", str(out))
    assert out.stat().st_mode & 0o777 == 0o600
    text = out.read_text()
    page = check(text)
    assert "<script" not in text.lower().replace("&lt;script", "")
    # As text, to the last character.
    assert f"Please {EVIL}" in page.text and f"Done {EVIL}" in page.text
    headings = [
        t for t in ("Turns", "What happened", "Commits", "Last screen", "Calls (2)", "Tools (1)") if t in page.text
    ]
    assert len(headings) == 6
    assert "Made: <script>" in page.text
    assert "before" not in re.findall(r"<h3>Commits</h3>.*?</table>", text, re.S)[0]
    assert [a["class"] for a in page.named("svg") if a.get("class")] == ["timeline"]
    assert {a.get("class") for a in page.named("rect")} >= {"s-busy", "s-prompt", "b-turns", "b-calls", "b-tools"}
    assert "failed: other" in page.text and "stopped" in page.text
    usage = night.json("history", "--json", "--id", "night")[0]
    assert f"{usage['tokens']:,}" in page.text
    assert check(night.ok("report", "--id", "night")).text.split("harnex")[0] == page.text.split("harnex")[0]


def test_a_text_reads_as_it_is() -> None:
    assert text("a\u202egpj.exe\u2069 \x07</script>") == "a\ufffdgpj.exe\ufffd \ufffd&lt;/script&gt;"


def test_a_report_of_a_night(night: Harnex) -> None:
    page = check(night.ok("report", "--since", "1h"))
    assert [a["href"] for a in page.named("a")] == [f"#{a['id']}" for a in page.named("section")]
    assert len(page.named("section")) == 3
    assert "supervisor_lost" in page.text and "Screen now" in page.text and "3 runs" in page.text
    elsewhere = night.base / "elsewhere"
    elsewhere.mkdir()
    assert "No runs" in check(night.ok("report", "--since", "1h", cwd=elsewhere)).text
    assert len(check(night.ok("report", "--since", "1h", "--all", cwd=elsewhere)).named("section")) == 3


def test_a_report_of_what_was_pruned_or_torn(harnex: Harnex) -> None:
    harnex.agent("torn", {"text": "x"})
    harnex.ok("stop", "--id", "torn")
    run = next(harnex.state.glob("runs/*"))
    with open(run / "events.jsonl", "ab") as f:
        f.write(
            b'[]\n{"type":7}\n{"type":"call","total_tokens":"x","duration_s":"y","ts":5}\n{"type":"state","ts":"never"}\n'
        )
        f.write(b'{"type":"turn_started","ts":"2026-01-01T00:00:00Z"}\n{"type":"tool","ts":"9999-99-99"}\n{"torn')
    check(harnex.ok("report", "--id", "torn"))
    shutil.rmtree(run)
    assert "pruned" in check(harnex.ok("report", "--id", "torn")).text
    done = harnex.run("report", "--id", "torn", "-o", str(harnex.base / "no" / "such.html"))
    assert (done.returncode, "can't write" in done.stderr) == (1, True)
    assert harnex.run("report", "--id", "torn", "--since", "1h").returncode == 2


BROWSER = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@pytest.mark.skipif(BROWSER is None, reason="no chromium on the PATH")
@pytest.mark.timeout(120)
def test_a_report_in_a_browser(night: Harnex) -> None:
    """Chromium shows the page as intended: nothing that the model printed runs, nothing is
    loaded, and the page has a size."""
    out = night.base / "page.html"
    night.ok("report", "--since", "1h", "-o", str(out))
    words = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
             f"--user-data-dir={night.base / 'browser'}", "--virtual-time-budget=2000"]  # fmt: skip
    log = night.base / "net.json"
    dom = subprocess.run(
        [*words, f"--log-net-log={log}", "--dump-dom", out.as_uri()], capture_output=True, text=True, timeout=90, check=True,
        env=night.env,
    ).stdout  # fmt: skip
    page = check(dom.strip().replace("<html", "<html", 1))
    assert "pwned" not in re.findall(r"<title>(.*?)</title>", dom)[0]
    assert len(page.named("section")) == 3
    assert "evil.example" not in log.read_text(), "the browser asked for something that the model printed"
    picture = night.base / "page.png"
    subprocess.run([*words, "--window-size=1150,1500", f"--screenshot={picture}", out.as_uri()],
                   capture_output=True, timeout=90, check=True, env=night.env)  # fmt: skip
    assert colours(picture) > 12, "an empty page"


def colours(picture: Path) -> int:
    """Return roughly how many different bytes the (compressed) rows hold: an
    empty page has next to none."""
    import zlib

    data, at, rows = picture.read_bytes(), 8, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            rows += data[at + 8 : at + 8 + size]
        at += size + 12
    return len(set(zlib.decompress(rows)))
