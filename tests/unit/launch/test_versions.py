"""Which version a program is: what it and others print when it is asked, and what may be remembered of that."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harnex.agents.catalogue import kind
from harnex.launch import versions

NOTICE = "tool manager 0.14.1 is out of date"


@pytest.mark.parametrize(
    ("cli", "output", "version"),
    [
        # As the programs answer (1.0.60 to 2.1.329, 0.47 to 0.169, 0.1.65-beta.5).
        ("claude", "2.1.329 (Claude Code)\n", "2.1.329"),
        ("codex", "codex-cli 0.169.0\n", "0.169.0"),
        ("paseo", "0.1.65-beta.5\n", "0.1.65-beta.5"),
        # Words of others before, behind and around it.
        ("claude", f"{NOTICE}\n2.1.329 (Claude Code)\n", "2.1.329"),
        ("claude", f"2.1.329 (Claude Code)\n{NOTICE}\n", "2.1.329"),
        ("claude", f"{NOTICE}; 2.1.329 (Claude Code)", None),  # one line of both is no answer that can be trusted
        ("codex", f"{NOTICE}\nnode v18.20.1\ncodex-cli 0.169.0\n", "0.169.0"),
        ("codex", "18.20.1\ncodex-cli 0.169.0 (3f2a1c9)\n", "0.169.0"),
        ("codex", "codex-cli version v0.169.0-alpha.3\n", "0.169.0-alpha.3"),
        ("paseo", f"{NOTICE}\r\n0.1.65-beta.5\r\n", "0.1.65-beta.5"),
        # Line ends and colours.
        ("claude", "notice\r\n2.0.77 (Claude Code)\r\n", "2.0.77"),
        ("claude", "progress 1.0\r2.0.77 (Claude Code)\r\n", "2.0.77"),
        ("codex", "\x1b[33mwarning 1.2.3\x1b[0m\n\x1b[1mcodex-cli \x1b[32m0.169.0\x1b[0m\n", "0.169.0"),
        ("claude", "\x1b]8;;https://x\x1b\\docs 3.2.1\x1b]8;;\x1b\\\n2.1.329 (Claude Code)", "2.1.329"),
        # Its own notices of updates are not its version.
        ("claude", "Claude Code 2.2.0 is available\n2.1.329 (Claude Code)\n", "2.1.329"),
        ("codex", "Update available: codex-cli 0.169.0 → codex-cli 0.170.0\ncodex-cli 0.169.0\n", "0.169.0"),
        ("codex", "Update available: codex-cli 0.170.0\n", None),
        ("claude", "Claude Code 2.2.0 has been released\n", None),
        # Nothing, or too much.
        ("claude", NOTICE, None),
        ("claude", "", None),
        ("codex", "codex-cli 0.169.0\ncodex-cli 0.104.0\n", None),
        ("codex", "codex-cli 0.169.0\ncodex-cli 0.169.0\n", "0.169.0"),
        ("codex", "my-codex-client 3.1.0\n", None),
        ("paseo", "0.1.65\n1.2.3\n", None),
    ],
)
def test_the_version_is_that_of_the_line_that_names_the_cli(cli: str, output: str, version: str | None) -> None:
    assert versions.told(output, kind(cli).titles) == version


class Programs:
    """Programs that answer to `--version`, and how often each was asked."""

    def __init__(self, base: Path) -> None:
        self.base, self.state = base, str(base / "state")
        os.mkdir(self.state, 0o700)

    def script(self, name: str, out: str = "", err: str = "", code: int = 0) -> str:
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"#!/bin/sh\necho asked >> '{self.base}/asked'\nprintf '%b' '{out}'\nprintf '%b' '{err}' >&2\nexit {code}\n"
        )
        path.chmod(0o755)
        return str(path)

    def detect(self, program: str, cli: str, cwd: str | None = None) -> str | None:
        return versions.detect(self.state, program, dict(os.environ), cli, cwd)

    @property
    def asked(self) -> int:
        path = self.base / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_a_warning_on_standard_error_is_not_the_version(programs: Programs) -> None:
    program = programs.script("claude", f"{NOTICE}\\n2.1.329 (Claude Code)\\n", "node 18.0.0 is old\\n")
    assert programs.detect(program, "claude") == "2.1.329"
    assert programs.detect(programs.script("codex", "", "codex-cli 0.169.0\\n"), "codex") == "0.169.0"
    assert programs.detect(programs.script("b/codex", "", "proxy 1.2.3 fails\\n", code=1), "codex") is None


def test_a_script_is_asked_each_time_since_what_is_behind_it_may_change(programs: Programs) -> None:
    program = programs.script("claude", "2.1.329 (Claude Code)\\n")
    assert [programs.detect(program, "claude") for _ in range(2)] == ["2.1.329", "2.1.329"]
    assert programs.asked == 2


def test_what_an_older_harnex_remembered_does_not_count(programs: Programs) -> None:
    """It took the first number that was printed."""
    program = programs.script("claude", "2.1.329 (Claude Code)\\n")
    info = os.stat(program)
    cache = Path(programs.state) / "cache"
    cache.mkdir(mode=0o700)
    (cache / "versions.json").write_text(json.dumps({f"{program}:{info.st_size}:{info.st_mtime_ns}": "0.14.1"}))
    assert programs.detect(program, "claude") == "2.1.329"


def test_the_shim_of_a_version_manager_is_not_remembered(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One binary for all tools: which one it is depends on its name, and its version on the directory."""
    shim = programs.base / "tool-shim"
    shim.write_bytes(b"\x7fELF")
    for name in ("claude", "codex"):
        (programs.base / name).symlink_to(shim)
    assert versions._key(str(shim), str(programs.base / "claude"), "claude") == ""
    own = programs.base / "versions" / "2.1.329"
    own.parent.mkdir()
    own.write_bytes(b"\x7fELF")
    assert versions._key(str(own), str(programs.base / "claude"), "claude") != ""


def test_the_program_is_asked_where_it_will_run(programs: Programs, tmp_path: Path) -> None:
    program = programs.script("codex")
    Path(program).write_text("#!/bin/sh\ncat ./which\n")
    for version in ("0.104.0", "0.169.0"):
        there = tmp_path / version
        there.mkdir()
        (there / "which").write_text(f"codex-cli {version}\n")
        assert programs.detect(program, "codex", str(there)) == version


def test_only_the_package_of_the_cli_itself_tells_its_version(programs: Programs) -> None:
    """A wrapper that was installed by npm is another package."""
    own = programs.script("node_modules/@anthropic-ai/claude-code/bin/claude")
    package = Path(own).parent.parent / "package.json"
    package.write_text('{"name": "@anthropic-ai/claude-code", "version": "2.1.329"}')
    assert programs.detect(own, "claude") == "2.1.329" and programs.asked == 0
    wrapper = programs.script("node_modules/wrap/claude", "2.0.77 (Claude Code)\\n")
    (Path(wrapper).parent / "package.json").write_text('{"name": "wrap", "version": "9.9.9"}')
    assert programs.detect(wrapper, "claude") == "2.0.77"
