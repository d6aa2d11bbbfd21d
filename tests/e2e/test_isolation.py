"""PYTHON* variables and the working directory do not decide what harnex imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import HARNEX, Harnex

# Modules that some process of harnex imports, or would import if they existed.
SHADOWS = (
    "psutil", "click", "pexpect", "ptyprocess", "pyte", "watchdog", "jsonschema", "orjson", "apprise", "genai_prices",
    "zstandard", "json", "tomllib", "selectors", "subprocess", "socket", "argparse", "threading", "uuid", "tempfile",
)  # fmt: skip
PURELIB = sysconfig.get_path("purelib")
BASE = os.path.realpath(sys.executable)


@pytest.fixture
def shadows(harnex: Harnex) -> Path:
    """A folder of modules that report their import; `shadows / "ran"` has their names."""
    folder = harnex.base / "shadows"
    folder.mkdir()
    (folder / "ran").mkdir()
    for name in SHADOWS:
        code = f"import os\nopen({str(folder / 'ran')!r} + '/{name}-' + str(os.getpid()), 'w').close()\nraise ImportError\n"
        (folder / f"{name}.py").write_text(code)
    return folder


def ran(shadows: Path) -> list[str]:
    return sorted(p.name for p in (shadows / "ran").iterdir())


def tour(harnex: Harnex) -> None:
    """Run a session from its start to its end, and the commands that read it."""
    harnex.env["TELL"] = str(harnex.base / "told")
    watch = ("--watch", "--notify-cmd", 'cat >> "$TELL"', "--context", "go")
    harnex.agent("w", {"text": "x", "tools": [{"bash": "echo =$PYTHONPATH= > seen"}]}, "Done.", run=watch)
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    harnex.ok("send", "--id", "w", "--message", "again", "--wait-for-idle", "--timeout", "30")
    harnex.ok("status")
    harnex.ok("usage", "--id", "w")
    harnex.ok("report", "--id", "w", "-o", str(harnex.base / "r.html"))
    harnex.run("doctor")
    harnex.ok("stop", "--id", "w")
    harnex.ok("history", "--json")


def test_no_process_of_harnex_imports_from_pythonpath(harnex: Harnex, shadows: Path) -> None:
    harnex.env["PYTHONPATH"] = str(shadows)
    tour(harnex)
    assert ran(shadows) == []
    assert (harnex.work / "seen").read_text() == f"={shadows}=\n", "the agent has its person's own variables"


def test_nor_from_the_working_directory(harnex: Harnex, shadows: Path) -> None:
    """Also if harnex is started as a module, which puts the working directory in front."""
    for name in SHADOWS:
        (harnex.work / f"{name}.py").write_text((shadows / f"{name}.py").read_text())
    tour(harnex)
    harnex.program = [sys.executable, "-m", "harnex"]
    harnex.ok("status")
    harnex.ok("history")
    assert ran(shadows) == []


def test_the_supervisor_ignores_what_the_agent_is_given(harnex: Harnex) -> None:
    """The agent and its tools keep Python's own variables; harnex's own processes are isolated."""
    given = {"PYTHONUSERBASE": "/nowhere", "PYTHONHASHSEED": "7", "PYTHONSAFEPATH": "1"}
    harnex.env |= given
    harnex.agent("w", {"text": "x", "tools": [{"bash": "env | grep ^PYTHON > seen"}]}, "Done.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    assert {f"{k}={v}" for k, v in given.items()} <= set((harnex.work / "seen").read_text().split())
    record = harnex.json("status", "--json")[0]
    for pid in (record["supervisor_pid"], record["pid"], *harnex.running("harnex.rehearsal.__main__")):
        assert "-I" in psutil.Process(pid).cmdline()[:4]
    harnex.ok("stop", "--id", "w")


# ---- however harnex is installed ----


def venv(harnex: Harnex, *pth: str) -> str:
    """Return the Python of a virtual environment that finds these folders by `.pth` files, as
    an editable install does."""
    where = harnex.base / "venv"
    site = where / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    (where / "bin").mkdir()
    (where / "bin" / "python").symlink_to(BASE)
    (where / "pyvenv.cfg").write_text(f"home = {os.path.dirname(BASE)}\ninclude-system-site-packages = false\n")
    (site / "editable.pth").write_text("".join(f"{p}\n" for p in pth))
    return str(where / "bin" / "python")


def places(harnex: Harnex) -> tuple[str, str]:
    """Return harnex alone in one folder, and its dependencies alone in another one."""
    own, needs = harnex.base / "own", harnex.base / "needs"
    own.mkdir()
    needs.mkdir()
    for entry in Path(PURELIB).iterdir():
        if entry.name != "__pycache__" and not entry.name.endswith(".pth"):
            ((own if entry.name == "harnex" else needs) / entry.name).symlink_to(entry)
    return str(own), str(needs)


def works(harnex: Harnex) -> list[str]:
    """Check that a session can be started, used and stopped.

    Returns its supervisor's command line.
    """
    harnex.agent("w", "Done.", run=("--context", "go"))
    harnex.ok("wait", "--id", "w", "--until", "task_complete", "--timeout", "30")
    pid = harnex.json("status", "--json")[0]["supervisor_pid"]
    command = psutil.Process(pid).cmdline()
    harnex.ok("stop", "--id", "w")
    return command


def test_an_editable_install(harnex: Harnex, shadows: Path) -> None:
    own, needs = places(harnex)
    harnex.program = [venv(harnex, own, needs), "-c", "import sys; from harnex.cli import main; sys.exit(main())"]
    harnex.env["PYTHONPATH"] = str(shadows)
    assert works(harnex)[1] == "-I"
    assert ran(shadows) == []


def test_a_folder_on_pythonpath(harnex: Harnex, shadows: Path) -> None:
    """`pip install --target DIR harnex`: harnex is found only by PYTHONPATH, so
    PYTHONPATH counts, last of all."""
    own, needs = places(harnex)
    harnex.program = [venv(harnex), "-m", "harnex"]
    harnex.env["PYTHONPATH"] = os.pathsep.join([own, needs])
    assert works(harnex)[1] == "-I"
    assert ran(shadows) == []


def test_harnex_on_pythonpath_shadows_nothing_that_is_installed(harnex: Harnex, shadows: Path) -> None:
    own, needs = places(harnex)
    harnex.program = [venv(harnex, needs), "-m", "harnex"]
    harnex.env["PYTHONPATH"] = os.pathsep.join([str(shadows), own])
    works(harnex)
    missing = {"orjson", "apprise", "genai_prices", "zstandard"} - {p.name for p in Path(needs).iterdir()}
    assert {name.partition("-")[0] for name in ran(shadows)} <= missing


def test_needs_that_only_the_environment_knows_are_a_clear_error(harnex: Harnex) -> None:
    """An installed harnex does not take its dependencies from PYTHONPATH.

    It says what is missing and how to mend that.
    """
    own, needs = places(harnex)
    harnex.program = [venv(harnex, own), "-m", "harnex"]
    harnex.env["PYTHONPATH"] = needs
    done = harnex.run("run", "demo", "--detach", "--id", "w")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
    assert "needs the module 'click'" in done.stderr and "ignore PYTHON* variables" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_supervisor_that_can_not_start_says_why(harnex: Harnex) -> None:
    """Only the starting process can import what the supervisor needs (a program
    that puts it into sys.path)."""
    own, needs = places(harnex)
    script = harnex.base / "program.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {needs!r})\n"
        "from harnex.launch.launch import start\nfrom harnex.launch.options import RunOptions\nstart(RunOptions(cli='demo', id='w'))\n"
    )
    done = subprocess.run(
        [venv(harnex, own), str(script)], cwd=harnex.work, env=harnex.env, capture_output=True, text=True, check=False
    )
    assert "did not start: ModuleNotFoundError: No module named" in done.stderr, done.stderr
    assert harnex.json("status", "--json", "--all") == []


def test_the_users_own_folder(harnex: Harnex, shadows: Path) -> None:
    """`pip install --user`: harnex is in the user's site, which `-I` would hide."""
    for path in shadows.glob("*.py"):
        if path.stem in sys.stdlib_module_names:
            # A `.pth` of this machine's own Python may import the module before harnex starts.
            path.unlink()
    user = Path(harnex.env["HOME"]) / ".local" / "lib" / f"python3.{sys.version_info[1]}"
    user.mkdir(parents=True)
    (user / "site-packages").symlink_to(PURELIB)
    harnex.program = [BASE, "-c", "import sys; from harnex.cli import main; sys.exit(main())"]
    harnex.env["PYTHONPATH"] = str(shadows)
    command = works(harnex)
    assert command[1:3] == ["-E", "-P"]
    assert ran(shadows) == []


def test_a_link_to_the_command(harnex: Harnex, shadows: Path) -> None:
    """pipx and uv: the command is a link into a virtual environment."""
    link = harnex.base / "bin" / "harnex"
    link.parent.mkdir()
    link.symlink_to(HARNEX)
    harnex.program = [str(link)]
    harnex.env["PYTHONPATH"] = str(shadows)
    works(harnex)
    assert ran(shadows) == []


def test_the_same_copy_of_harnex_runs_everywhere(harnex: Harnex) -> None:
    """A checkout that runs as `python -m harnex`, in an environment with another
    harnex, uses its own supervisor."""
    own, _ = places(harnex)
    other = harnex.base / "checkout"
    other.mkdir()
    subprocess.run(["cp", "-rL", f"{own}/harnex", str(other)], check=True)
    init = other / "harnex" / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.'))
    harnex.program = [sys.executable, "-m", "harnex"]
    script, state = harnex.script("Done."), Path(harnex.env["HARNEX_STATE_DIR"])
    reply = json.loads(harnex.ok("run", "demo", "--detach", "--id", "w", "--rehearse", script, cwd=other))
    environ = f"/proc/{reply['supervisor_pid']}/cmdline"
    if os.path.exists(environ):
        assert str(other).encode() in Path(environ).read_bytes()
    manifest = json.loads((state / "runs" / reply["run_id"] / "manifest.json").read_text())
    assert manifest["harnex_version"].startswith("9.")
    harnex.ok("stop", "--id", "w", cwd=other)
