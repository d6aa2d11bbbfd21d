"""The modes of the agent's terminal, for a terminal that joins (attach) and leaves again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

# Private modes that are off in a fresh terminal, in the order in which `enter` sets them. The
# alternate screen has three numbers: `Modes` keeps the number that was used.
_PRIVATE = {
    1: "cursor_keys",
    1000: "mouse",
    1002: "mouse_drag",
    1003: "mouse_any",
    1004: "focus",
    1006: "mouse_sgr",
    2004: "bracketed_paste",
    2026: "synced",
}
_KITTY_DEPTH = 32


@dataclass(slots=True)
class Modes:
    """The modes of the agent's terminal that an attached person's terminal must share."""

    alternate: int = 0  # 47, 1047 or 1049; 0 is the main screen
    bracketed_paste: bool = False
    focus: bool = False
    mouse: bool = False
    mouse_drag: bool = False
    mouse_any: bool = False
    mouse_sgr: bool = False
    cursor_keys: bool = False
    keypad: bool = False
    cursor_visible: bool = True
    autowrap: bool = True
    synced: bool = False
    modify_other_keys: int = 0
    # The keyboard stacks of the main and of the alternate screen, each from its bottom: kitty keeps
    # two.
    kitty: list[int] = field(default_factory=lambda: [0])
    kitty_alternate: list[int] = field(default_factory=lambda: [0])

    @property
    def kitty_stack(self) -> list[int]:
        """The keyboard stack of the current screen."""
        return self.kitty_alternate if self.alternate else self.kitty

    def copy(self) -> Modes:
        return replace(self, kitty=list(self.kitty), kitty_alternate=list(self.kitty_alternate))

    def reset(self, *, soft: bool = False) -> None:
        """RIS, or DECSTR (`soft`).

        A soft reset leaves the screen, the mouse and the paste mode as they are.
        """
        if soft:
            self.cursor_keys = self.keypad = False
            self.cursor_visible = self.autowrap = True
            return
        fresh = Modes()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def set_private(self, mode: int, on: bool) -> None:
        """Apply `CSI ? mode h` (`on`) or `l`. Modes that are not kept are ignored."""
        if mode in (47, 1047, 1049):
            if on and not self.alternate:
                self.kitty_alternate = [0]
            self.alternate = mode if on else 0
        elif mode == 25:
            self.cursor_visible = on
        elif mode == 7:
            self.autowrap = on
        elif mode in _PRIVATE:
            setattr(self, _PRIVATE[mode], on)

    def report(self, mode: int) -> int:
        """The DECRPM value of a mode: 1 set, 2 reset, 0 unknown here."""
        if mode in (47, 1047, 1049):
            return 1 if self.alternate else 2
        if mode == 25:
            return 1 if self.cursor_visible else 2
        if mode == 7:
            return 1 if self.autowrap else 2
        if mode in _PRIVATE:
            return 1 if getattr(self, _PRIVATE[mode]) else 2
        return 0

    def kitty_keys(self, kind: str, params: str) -> None:
        """Apply a keyboard sequence.

        `CSI > flags u` pushes, `CSI < n u` pops, `CSI = flags ; how u` changes the top.
        """
        stack = self.kitty_stack
        numbers = [number(p) for p in params.split(";")]
        if kind == ">":
            stack.append(numbers[0] & 31)
            del stack[: len(stack) - _KITTY_DEPTH]
        elif kind == "<":
            del stack[max(0, len(stack) - max(1, numbers[0])) :]
            if not stack:
                stack.append(0)
        elif kind == "=":
            flags, how = numbers[0] & 31, numbers[1] if len(numbers) > 1 else 1
            stack[-1] = {2: stack[-1] | flags, 3: stack[-1] & ~flags}.get(how, flags)

    def enter(self) -> bytes:
        """The bytes that bring a fresh terminal into these modes.

        Both kitty stacks are filled, each on its own screen.
        """
        out = [f"\x1b[>{flags}u" for flags in self.kitty if flags]
        if self.alternate:
            out.append("\x1b[?1049h")
            out += [f"\x1b[>{flags}u" for flags in self.kitty_alternate if flags]
        out += [
            f"\x1b[?{mode}h" for mode, name in _PRIVATE.items() if mode != 2026 and getattr(self, name)
        ]  # an open synchronized update would freeze the joining terminal
        if self.keypad:
            out.append("\x1b=")
        if not self.autowrap:
            out.append("\x1b[?7l")
        if not self.cursor_visible:
            out.append("\x1b[?25l")
        if self.modify_other_keys:
            out.append(f"\x1b[>4;{self.modify_other_keys}m")
        return "".join(out).encode()


def number(text: str) -> int:
    """The number at the start of a parameter, at most 99999; 0 if there is none."""
    text = text.partition(":")[0]
    return min(int(text), 99999) if text.isdigit() and len(text) < 9 else 0
