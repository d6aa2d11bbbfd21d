"""Draw `harnex.svg`, the picture of the README: `make picture`. With `--check`, only say whether it is up to date.

`picture.sh` is run in a session of fixed size, in a place of its own. The agent in it is the bundled one, and the model
is scripted (`picture.json`), so that the picture is the same each time. Needs bash and jq.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PICTURE = HERE / "harnex.svg"
SIZE = "98x28"


def draw(harnex: str) -> str:
    """The picture as SVG. `harnex` is the path of the command. Raises CalledProcessError when a step fails."""
    with tempfile.TemporaryDirectory(prefix="harnex-picture-") as place:
        work = Path(place, "work")
        work.mkdir()
        for name in ("picture.sh", "picture.json"):
            shutil.copy(HERE / name, work)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HARNEX_", "TMUX"))}
        env |= {
            "HARNEX_STATE_DIR": str(Path(place, "state")),
            "PATH": f"{os.path.dirname(harnex)}{os.pathsep}{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        }

        def run(*words: str) -> str:
            return subprocess.run(
                [harnex, *words], cwd=work, env=env, stdout=subprocess.PIPE, text=True, timeout=120, check=True
            ).stdout

        try:
            run("run", "bash", "--detach", "--id", "harnex", "--size", SIZE, "--", "picture.sh")
            run("wait", "--id", "harnex", "--until", "exited", "--timeout", "60s")
            return run("pane", "--id", "harnex", "--svg", "-")
        finally:
            for session in ("fix", "harnex"):  # where a step failed, they still run
                subprocess.run([harnex, "stop", "--force", "--id", session], env=env, capture_output=True, check=False)


def main() -> int:
    harnex = shutil.which("harnex", path=os.path.dirname(sys.executable)) or shutil.which("harnex")
    if harnex is None:
        print("there is no harnex: `make install` first", file=sys.stderr)
        return 2
    picture = draw(os.path.abspath(harnex))
    if "--check" in sys.argv[1:]:
        same = PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == picture
        print("the picture is up to date" if same else "the picture differs: `make picture` draws it anew")
        return 0 if same else 1
    PICTURE.write_text(picture, encoding="utf-8")
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
