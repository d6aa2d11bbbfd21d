"""codex/home.py: the private home of a rehearsal."""

from __future__ import annotations

import tomllib

from harnex.agents.codex.adapter import ADAPTER


def test_rehearsal_is_private_and_complete() -> None:
    rehearsal = ADAPTER.rehearsal("http://127.0.0.1:9/", "/h", '/w/"x', (0, 169))
    assert rehearsal is not None
    config = tomllib.loads(rehearsal.files["/h/.codex/config.toml"])
    assert config["model_providers"][config["model_provider"]]["base_url"] == "http://127.0.0.1:9/v1"
    assert config["projects"] == {'/w/"x': {"trust_level": "trusted"}}
    assert rehearsal.env["CODEX_HOME"] == "/h/.codex"
    assert rehearsal.env["OPENAI_API_KEY"] is None
