"""The outline of JSON documents of one kind: each key with the types of its values.

The lines are sorted:

    state: "busy"|"prompt"          a string of which the values count
    usage.totals.input: int|null    a number that may be missing
    calls[].model: str              in each item of a list
    meta.*: str                     under keys that users choose
    exit?: object|null              a key that not every document has
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

NAMES = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}


class Outline:
    """The outline of JSON documents.

    `values`: paths of strings whose values are listed. `free`: paths of objects whose keys users
    (or others) choose. `closed`: paths of objects that are not looked into. `late`: paths that are
    null if the machine was too slow.
    """

    def __init__(
        self,
        values: Iterable[str] = (),
        free: Iterable[str] = (),
        closed: Iterable[str] = (),
        late: Iterable[str] = (),
    ) -> None:
        self._values, self._free, self._closed, self._late = set(values), set(free), set(closed), set(late)
        self._types: dict[str, set[str]] = {}
        self._objects: Counter[str] = Counter()  # number of objects that were seen at a path
        # And in how many of them a key was present.
        self._keys: Counter[tuple[str, str]] = Counter()

    def take(self, document: Any, path: str = "") -> None:
        types = self._types.setdefault(path, {"null"} if path in self._late else set())
        if isinstance(document, dict):
            types.add("object")
            if path in self._closed:
                return
            self._objects[path] += 1
            for key, value in document.items():
                inner = "*" if path in self._free else key
                self._keys[path, inner] += 1
                self.take(value, f"{path}.{inner}" if path else inner)
        elif isinstance(document, list):
            types.add("list")
            for value in document:
                self.take(value, f"{path}[]")
        elif isinstance(document, str) and path in self._values:
            types.add(f'"{document}"')
        else:
            types.add(NAMES[type(document)])

    def lines(self) -> list[str]:
        return [self._line(path) for path in sorted(self._types) if self._worth(path)]

    def _worth(self, path: str) -> bool:
        """Whether a line says more than the lines of its parts."""
        inside = any(other.startswith((f"{path}.", f"{path}[]")) or not path for other in self._types if other != path)
        return not (inside and self._types[path] <= {"object", "list"} and not self._is_optional(path))

    def _is_optional(self, path: str) -> bool:
        parent, _, key = path.rpartition(".")
        bare = key.removesuffix("[]")
        return bare == key and key not in ("", "*") and self._keys[parent, key] < self._objects[parent]

    def _line(self, path: str) -> str:
        empty = not any(other.startswith((f"{path}.", f"{path}[]")) for other in self._types)
        marks = {"object": "{}" if empty and path not in self._closed else "object", "list": "[]" if empty else "list"}
        types = [marks.get(word, word) for word in sorted(self._types[path], key=lambda word: (word == "null", word))]
        return f"{path or '(all)'}{'?' if self._is_optional(path) else ''}: {'|'.join(types)}"
