"""agents/catalogue.py: which CLIs are known, and what another package adds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from harnex.agents import catalogue
from harnex.errors import HarnexError

ROOT = str(Path(catalogue.__file__).parents[2])
Add = Callable[[str, str], None]
GOOD = """
from harnex.agents.contract import AgentKind
KIND = AgentKind(name="other", adapter="{name}_adapter", price_provider="someone")
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Installs a package of this name, with this text as its module; it offers the agent of the same name."""

    def forget() -> None:
        catalogue._added.cache_clear()
        catalogue.kind.cache_clear()
        for module in [module for module in sys.modules if module.endswith("_kind")]:
            del sys.modules[module]

    def install(name: str, text: str) -> None:
        (tmp_path / f"{name}_kind.py").write_text(text.replace("{name}", name))
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: harnex-{name}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[harnex.agents]\n{name} = {name}_kind:KIND\n")
        forget()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    forget()


@pytest.mark.parametrize("name", catalogue.BUILT_IN)
def test_each_that_comes_with_harnex_has_what_its_record_names(name: str) -> None:
    kind = catalogue.kind(name)
    assert kind.name == name
    adapters = [catalogue.adapter_for(name)] + ([catalogue.headless_for(name)] if kind.headless else [])
    assert [adapter.name for adapter in adapters] == [name] * len(adapters)
    assert all(catalogue.kind(other) for other in kind.runs)


def test_a_role_that_a_cli_has_not_and_a_cli_that_is_none_are_unknown() -> None:
    with pytest.raises(KeyError):
        catalogue.headless_for("paseo")
    with pytest.raises(HarnexError, match="no agent 'nothing'"):
        catalogue.adapter_for("nothing")
    assert catalogue.name_for("/usr/bin/nothing") == "generic"
    assert (
        catalogue.price_provider("nothing")
        is catalogue.price_provider(None)
        is catalogue.price_provider("demo")
        is None
    )


def test_what_a_run_leaves_is_its_clis_or_that_of_those_which_it_runs() -> None:
    claude, codex = catalogue.logs_for("claude"), catalogue.logs_for("codex")
    assert catalogue.logs_of_runs("claude") == [claude]
    assert catalogue.logs_of_runs("paseo") == [claude, codex]
    assert catalogue.logs_of_runs("demo") == catalogue.logs_of_runs("nothing") == []


def test_a_package_adds_one(add: Add) -> None:
    add("other", GOOD)
    assert catalogue.names() == (*catalogue.BUILT_IN, "other")
    assert catalogue.agents() == ("codex", "claude", "paseo", "other")
    assert catalogue.name_for("/opt/other") == "other"
    assert catalogue.price_provider("other") == "someone"
    assert [kind.name for kind in catalogue.built_in_and("other")] == [*catalogue.BUILT_IN, "other"]
    assert [kind.name for kind in catalogue.built_in_and("")] == [*catalogue.BUILT_IN]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("KIND = None", "not an AgentKind"),
        (GOOD.replace('"other"', '"another"'), "not an AgentKind of that name"),
    ],
)
def test_a_broken_package_is_named_where_it_is_used_and_disturbs_nothing_else(add: Add, text: str, why: str) -> None:
    add("other", text)
    with pytest.raises(HarnexError, match=why) as caught:
        catalogue.kind("other")
    assert "harnex-other" in caught.value.message
    assert "other" in catalogue.names()
    assert catalogue.agents() == ("codex", "claude", "paseo")
    assert catalogue.price_provider("other") is None
    assert [kind.name for kind in catalogue.built_in_and("other")] == [*catalogue.BUILT_IN]


def test_a_module_that_its_record_names_and_is_missing_is_the_packages_fault(add: Add) -> None:
    add("other", GOOD)
    with pytest.raises(HarnexError, match=r"harnex-other can't be used: ModuleNotFoundError.*other_adapter"):
        catalogue.adapter_for("other")


def test_no_package_replaces_what_comes_with_harnex(add: Add) -> None:
    add("claude", GOOD)
    assert catalogue.names() == catalogue.BUILT_IN
    assert catalogue.kind("claude") is import_module("harnex.agents.claude.kind").KIND


def test_entry_points_are_looked_up_only_for_what_does_not_come_with_harnex() -> None:
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from harnex.agents import catalogue as c\n"
        "for name in c.BUILT_IN: c.name_for(name), c.adapter_for(name), list(c.built_in_and(name))\n"
        "assert 'importlib.metadata' not in sys.modules\n"
        "c.name_for('bash')\n"
        "assert 'importlib.metadata' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
