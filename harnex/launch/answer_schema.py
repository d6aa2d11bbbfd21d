"""Check that an answer is JSON that fits a schema. jsonschema is imported
only if there is a schema."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from harnex.errors import UsageError

FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)
PROBLEMS = 5  # how many problems are named at most


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    `data` is the JSON value of the answer (None if the answer is not JSON), `problems`
    says what is wrong with it.
    """

    data: Any = None
    problems: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not self.problems


def load(path: str) -> dict[str, Any]:
    """Return a schema from a file. Raises UsageError if the file is not a JSON Schema."""
    try:
        with open(path, encoding="utf-8") as f:
            schema = json.load(f)
    except OSError as e:
        raise UsageError(f"can't read {path}: {e.strerror}", "a JSON Schema is needed") from None
    except ValueError as e:
        raise UsageError(f"{path} is not JSON: {e}", "a JSON Schema is needed") from None
    if not isinstance(schema, dict):
        raise UsageError(f"{path} is not a JSON Schema: it must be an object")
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as e:
        raise UsageError(f"{path} is not a JSON Schema: {e.message} (at {e.json_path})") from None
    return schema


def check(text: str, structured: str | None, schema: dict[str, Any]) -> Checked:
    """Check an answer against a schema.

    `structured` is what the CLI declares as its structured output. Without it, `text` is checked.
    """
    data: Any = None
    source = structured if structured is not None else text
    fenced = FENCE.match(source)
    try:
        data = json.loads(fenced[1] if fenced else source)
    except ValueError as e:
        return Checked(None, [f"it is not JSON ({e})" if source.strip() else "it is empty"])
    from jsonschema.validators import validator_for

    found = sorted(validator_for(schema)(schema).iter_errors(data), key=lambda error: error.json_path)
    problems = [f"{error.json_path}: {error.message[:300]}" for error in found[:PROBLEMS]]
    if len(found) > PROBLEMS:
        problems.append(f"and {len(found) - PROBLEMS} more")
    return Checked(data, problems)
