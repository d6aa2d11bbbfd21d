"""The fusion: one state from what every source reports (DESIGN section 5).

Pure. The rules, in the order in which they count:

1. The best source that has an opinion decides (lowest rank; among equal ranks, the source that
   changed last; sources of equal rank that disagree are waited for). Right after a change the best
   source is believed at once: lower sources lag behind by up to a second.
2. `prompt` is the dangerous state: harnex would type a message. `prompt` stands only while no
   source that shows the present contradicts `prompt`. If the screen shows `blocked`, the state is
   `blocked`. If another source says `busy`, a declared `prompt` becomes `unknown` and a weaker
   `prompt` becomes `busy`.
3. A dialog that can be read on the screen is a dialog, whatever else is declared.
4. A source that can be left behind (`level=False`: hooks; no hook fires on an interrupt) yields to
   a prompt that has been on a quiet screen for a while.
5. `prompt` from a weak source waits until the output has been quiet for `settle_s` (before the
   first `prompt`: until the screen has not changed for `settle_s`).
6. The first `prompt` needs both the best source and the screen: the input box is painted before
   text can be typed into it, and CLIs declare `idle` before they paint.
7. What a person opened over the prompt (shell mode, a search, a view) is `blocked` while the agent
   rests: a message must not go there. `Verdict.beneath` is the agent's own state, which decides
   about turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harnex.agents.contract import Source, Version
from harnex.model.facts import Need, Observation, OpenView, Retracted, State, doubt

# Seconds that a lower source may lag behind a change of a better source (measured: 0.57 s at most).
LAG_S = 1.0
# Seconds after a dialog closes in which a declared `prompt` is not believed: `prompt` was declared
# all through the dialog, and what the reply started takes a moment to show (0.04 s at most,
# measured).
AFTER_DIALOG_S = 0.5
# Seconds that a quiet prompt must stand on the screen to overrule a source that can be left behind.
STALE_S = 2.0
# Seconds that replace STALE_S when the prompt was already on the screen before that source
# spoke: the screen may lag behind (2.1.30, busy).
UNSEEN_S = 10.0
START_ALONE_S = 3.0  # Seconds that a declared prompt waits for the screen to agree, at the start.


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fused state.

    `wake_at` (monotonic seconds) is when time alone would change the state; None if time alone
    never does. `options` are the labels of the dialog, `asks` is what the dialog asks.
    """

    state: State
    source: str = ""
    reason: str = ""
    dialog: str = ""
    options: tuple[str, ...] = ()
    wake_at: float | None = None
    asks: str = ""
    needs: tuple[Need, ...] = ()  # what is missing to be certain
    view: OpenView | None = None  # what a person left open; `dialog` is then `other`
    behind: State | None = None  # the agent's own state behind that view

    @property
    def beneath(self) -> State:
        """The agent's own state, whatever a person opened over its prompt."""
        return self.state if self.behind is None else self.behind

    def same_as(self, other: Verdict) -> bool:
        """Whether both verdicts say the same: state, dialog, options, and what the dialog asks."""
        same = (self.state, self.dialog, self.options) == (other.state, other.dialog, other.options)
        return same and not self.asks_else(other.asks)

    def asks_else(self, asks: str) -> bool:
        """Whether this dialog is another dialog than the one that asked `asks`.

        A dialog that is not painted yet asks nothing, and so never counts as another.
        """
        return bool(self.asks and asks and self.asks != asks)


@dataclass(slots=True)
class _Level:
    source: Source
    seen: Observation
    since: float  # when this source's state or dialog last changed


class Activity:
    """Holds what each source said last, and decides the state.

    One for each process of the agent.
    """

    def __init__(self, sources: Iterable[Source], version: Version | None, now: float) -> None:
        self._sources = {s.name: s for s in sources if s.holds_for(version)}
        self._levels: dict[str, _Level] = {}
        self.last_output = self._last_change = now
        self._was_ready = False
        self._state = State.STARTING
        # The last verdict; its dialog stays until a change is believed.
        self._held = Verdict(State.STARTING)
        self._left_dialog = -1e9  # when the last dialog went away

    def output(self, now: float) -> None:
        """Note that the agent wrote something."""
        self.last_output = now

    def changed(self, now: float) -> None:
        """Note that the screen shows something else."""
        self._last_change = now

    def observe(self, fact: Observation | Retracted, now: float) -> None:
        """Take what a source reports.

        Sources that the table does not name for this version are ignored.
        """
        if isinstance(fact, Retracted):
            self._levels.pop(fact.source, None)
            return
        source = self._sources.get(fact.source)
        if source is None:
            return
        old = self._levels.get(fact.source)
        if old is not None and (old.seen.state, old.seen.dialog) == (fact.state, fact.dialog):
            old.seen = fact
        else:
            self._levels[fact.source] = _Level(source, fact, now)

    @property
    def declared(self) -> bool:
        """Whether the agent itself declares its state: a source of rank 1 has an opinion."""
        return any(x.source.rank == 1 for x in self._levels.values())

    def took_message(self) -> None:
        """Note that the agent took a message while no source declares the state.

        The agent counts as busy until the screen has settled again.
        """
        self._state = State.BUSY
        self._held = Verdict(State.BUSY, "turn", "a prompt was taken")

    @property
    def was_ready(self) -> bool:
        """Whether the agent was ever at its prompt."""
        return self._was_ready

    def on_screen(self) -> Observation | None:
        """What the screen source says now; None if it says nothing."""
        for level in self._levels.values():
            if level.source.rank == 3:
                return level.seen
        return None

    def decide(self, now: float) -> Verdict:
        """The fused state at `now`."""
        verdict = self._fuse(now)
        if self._held.state is State.BLOCKED and verdict.state is not State.BLOCKED:
            self._left_dialog = now
            verdict = self._fuse(now)
        if verdict.state is State.PROMPT:
            self._was_ready = True
        self._state = verdict.state
        self._held = verdict
        screen = self.on_screen()
        return verdict if screen is None or screen.view is None else _covered(verdict, screen.view)

    def _fuse(self, now: float) -> Verdict:
        levels = sorted(self._levels.values(), key=lambda x: (x.source.rank, -x.since))
        if not levels:
            if self._was_ready:
                return Verdict(State.UNKNOWN, reason="no source says anything")
            return Verdict(State.STARTING, reason="nothing seen yet")
        return self._weigh(levels, now)

    def _weigh(self, levels: list[_Level], now: float) -> Verdict:
        """Apply the rules to the sources that count, best first."""
        best = self._knowing(levels)
        screen = next((x for x in levels if x.source.rank == 3), None)
        if screen is None or screen is best:
            return self._prompt(best, levels[1:], None, now) if best.seen.state is State.PROMPT else self._of(best)
        if not best.source.level and best.seen.state is not State.PROMPT and screen.seen.state is State.PROMPT:
            patience = STALE_S if screen.since > best.since else UNSEEN_S
            stale_at = max(best.since, screen.since, self.last_output) + patience
            if now >= stale_at:
                return self._weigh(levels[1:], now)  # the source was left behind: ask the others
            return replace(self._of(best), wake_at=stale_at)
        if best.seen.state is State.BLOCKED:
            if not best.source.level and screen.seen.state is State.BUSY and screen.since > best.since:
                # The dialog was answered: no hook says so before the tool has finished.
                return self._of(screen)
            return self._blocked(best, screen)
        if screen.seen.state is State.BLOCKED:
            return self._of(screen)
        if best.seen.state is State.PROMPT:
            return self._prompt(best, levels[1:], screen, now)
        return self._of(best)

    @staticmethod
    def _knowing(levels: list[_Level]) -> _Level:
        """The best source, or an equal that knows more.

        Where the best source's `busy` says only that a turn runs, a source of equal rank that names
        the blocking dialog wins.
        """
        best = levels[0]
        if best.source.dialogs or best.seen.state is not State.BUSY:
            return best
        equals = (x for x in levels if x.source.rank == best.source.rank and x.source.dialogs and x.source.level)
        return next((x for x in equals if x.seen.state is State.BLOCKED), best)

    def _blocked(self, best: _Level, screen: _Level) -> Verdict:
        """A declared dialog. The screen knows best which dialog, once the dialog is painted."""
        if screen.seen.state is not State.BLOCKED:
            return self._of(best)
        dialog = screen.seen.dialog if screen.seen.dialog not in ("", "other") else best.seen.dialog
        options = screen.seen.options or best.seen.options
        return replace(self._of(best), dialog=dialog or "other", options=options, asks=screen.seen.asks)

    def _prompt(self, best: _Level, others: list[_Level], screen: _Level | None, now: float) -> Verdict:
        if not self._was_ready and best.source.rank < 3:
            # Rule 6: at the start the screen must agree that there is a box to type into.
            alone_until = best.since + START_ALONE_S
            if (screen is None or screen.seen.state is not State.PROMPT) and now < alone_until:
                return Verdict(State.STARTING, best.source.name, "waiting for the input box", wake_at=alone_until)
        working = (State.BUSY, State.BLOCKED)
        against = next((x for x in others if x.source.level and x.seen.state in working), None)
        if against is not None:
            lag_until = best.since + LAG_S
            if best.source.rank == 1:
                if now < max(lag_until, against.since + LAG_S):
                    # Sources of equal rank don't lag: wait until they agree.
                    if against.source.rank == 1:
                        return replace(self._hold(best), wake_at=max(lag_until, against.since + LAG_S))
                    return replace(self._of(best), wake_at=max(lag_until, against.since + LAG_S))
                why = f"{best.source.name} says prompt, {against.source.name} says {against.seen.state} ({against.seen.reason})"
                return Verdict(State.UNKNOWN, best.source.name, why)
            return self._of(against)
        over = self._left_dialog + AFTER_DIALOG_S
        if self._was_ready and best.source.rank < 3 and best.since < self._left_dialog and now < over:
            # The prompt was declared before the dialog was answered (Codex, whose plan waits at
            # rest): the reply may start a turn.
            return Verdict(State.UNKNOWN, best.source.name, "a dialog went away (settling)", wake_at=over)
        settle_s = max(best.source.settle_s, best.seen.settle_s)
        # Before the first prompt a repaint is not output: Codex 0.98 repaints each second at rest
        # in its first minutes, and 0.104 also repaints while an answer is stalled.
        quiet_since = self.last_output if self._was_ready else self._last_change
        settled_at = max(best.since, quiet_since) + settle_s
        if settle_s and now < settled_at and self._state is not State.PROMPT:
            held = self._hold(best)
            if held.state is State.BLOCKED:  # the dialog has left the screen
                after = State.UNKNOWN if self._was_ready else State.STARTING
                held = Verdict(after, best.source.name, f"{best.seen.reason} (settling)")
            return replace(held, wake_at=settled_at)
        return self._of(best)

    def _hold(self, best: _Level) -> Verdict:
        """The verdict while a change is not believed yet: the state before the change."""
        if self._state in (State.PROMPT, State.EXITED, State.STOPPING, State.UNKNOWN):
            return (
                self._of(best) if self._state is State.PROMPT else Verdict(State.UNKNOWN, best.source.name, "settling")
            )
        held = self._held
        reason = f"{best.seen.reason} (settling)"
        return Verdict(self._state, best.source.name, reason, held.dialog, held.options, asks=held.asks)

    def _of(self, level: _Level) -> Verdict:
        seen = level.seen
        dialog = (seen.dialog or "other") if seen.state is State.BLOCKED else ""
        reason = seen.reason + doubt(seen.needs)
        return Verdict(seen.state, seen.source, reason, dialog, seen.options, asks=seen.asks, needs=seen.needs)


def _covered(verdict: Verdict, view: OpenView) -> Verdict:
    """The verdict while `view` is open. An agent that works is still busy."""
    if verdict.state not in (State.PROMPT, State.UNKNOWN, State.STARTING):
        return verdict
    reason = f"{view.name} is open"
    return replace(verdict, state=State.BLOCKED, reason=reason, dialog="other", view=view, behind=verdict.state)
