"""JSON for the verbs that scripts call in loops: the C scanner and string encoder, without `json`.

`import json` costs as much as the whole start of the interpreter (`json` imports `re`); the
accelerator module behind `json` costs nothing. Where `_json` is missing (not CPython), `json`
itself is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii as _string
    from _json import make_scanner

    class _Context:
        strict = False
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = float
        memo: dict[str, str] = {}

    _scan = make_scanner(_Context)  # type: ignore[arg-type]

    def loads(text: str | bytes) -> Any:
        """Parse one JSON value. Raises ValueError for anything else; only blanks may follow."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        text = text.strip()
        try:
            value, end = _scan(text, 0)
        except (StopIteration, SystemError):
            # SystemError: for a torn string or number, CPython's scanner wants JSONDecodeError,
            # which is not imported.
            raise ValueError("not JSON") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if text[end:].strip():
            raise ValueError("trailing characters")
        return value

    def dumps(value: Any) -> str:
        """Compact JSON, ASCII only, keys in the order given. Raises TypeError for other values."""
        if value is None:
            return "null"
        if value is True:
            return "true"
        if value is False:
            return "false"
        if isinstance(value, str):
            return _string(str(value))
        if isinstance(value, int):
            return int.__repr__(value)
        if isinstance(value, float):
            # NaN and infinities are not JSON
            return repr(value) if value - value == 0.0 else "null"
        if isinstance(value, dict):
            return "{" + ",".join(f"{_string(str(k))}:{dumps(v)}" for k, v in value.items()) + "}"
        if isinstance(value, (list, tuple)):
            return "[" + ",".join(map(dumps, value)) + "]"
        raise TypeError(f"not JSON: {type(value).__name__}")

except ImportError:  # pragma: no cover - not CPython
    import json

    def loads(text: str | bytes) -> Any:
        return json.loads(text)

    def dumps(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))


def loads_dict(line: str | bytes) -> dict[str, Any] | None:
    """A JSON object, or None for anything else (a torn line, garbage, another type)."""
    try:
        value = loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
