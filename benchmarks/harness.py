"""Runs contenders side by side: warm-up, interleaved repetitions, then one run for the memory.

A quick run, whose figures mean nothing, does all of it at once in the first run of each; and what
takes minutes is as warm in its first run as in its last, so that this one counts.
"""

from __future__ import annotations

import gc
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from benchmarks.options import Options
from benchmarks.processes import MemorySampler, Usage

_Item = TypeVar("_Item")
_LONG_SECONDS, _FEW = 60, 3

INTERRUPTED = "The user ended the run after this table: what the case measures next is missing."


def _nothing(_: Any) -> None:
    return None


def _no_parts(_: Any) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class Contender:
    """One way to do the job.

    Attributes
    ----------
    name : str
    run : callable
        The timed job; returns its result.
    check : callable
        Facts about a result (rows, checksum, score), found outside of the timing.
    release : callable
        Frees a result, outside of the timing.
    parts : callable
        Seconds of the named parts of the job, by a result.
    """

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], dict[str, Any]]
    release: Callable[[Any], None] = _nothing
    parts: Callable[[Any], dict[str, float]] = _no_parts


@dataclass
class Measured:
    """What was seen of one contender; CPU seconds are those of all processes of the run.

    `parts` holds the seconds of each part of the job in each repetition; `error` says why some or
    all of its runs failed; None means that none did.
    """

    name: str
    warm_up_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    other_cpu_s: list[float] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, list[float]] = field(default_factory=dict)
    error: str | None = None

    def add(self, seconds: float, cpu_s: float, other_cpu_s: float) -> None:
        """Add a timed repetition."""
        self.seconds.append(seconds)
        self.cpu_s.append(cpu_s)
        self.other_cpu_s.append(other_cpu_s)

    def forget(self) -> None:
        """Drop the timed repetitions: they were of the warm-up."""
        for kept in (self.seconds, self.cpu_s, self.other_cpu_s, self.parts):
            kept.clear()

    def extend(self, other: Measured) -> None:
        """Add the timed repetitions and warm-ups of `other`, and its error."""
        self.warm_up_s += other.warm_up_s
        self.seconds += other.seconds
        self.cpu_s += other.cpu_s
        self.other_cpu_s += other.other_cpu_s
        self.error = self.error or other.error

    @property
    def median(self) -> float:
        """Median of the timed repetitions in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Table:
    """Contenders that did the same job, or one job in several sizes.

    Attributes
    ----------
    title : str
    rows : list of Measured
    note : str
    axis : str
        The fact that grows from row to row, for a chart of lines over it; "" for one of bars.
    drawn : tuple of str
        Facts that the lines show, in place of each contender's seconds.
    """

    title: str
    rows: list[Measured]
    note: str = ""
    axis: str = ""
    drawn: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Measured:
        return next(row for row in self.rows if row.name == name)

    def median(self, name: str) -> float | None:
        """Median time of one in seconds; None where it could not run."""
        row = self[name]
        return row.median if row.seconds else None

    def ratio(self, over: str, under: str) -> float | None:
        """Median time of the one over that of the other; None where either could not run."""
        one, other = self.median(over), self.median(under)
        return None if one is None or other is None else one / other


@dataclass(frozen=True)
class Target:
    """A figure that the project has set itself; met when `value` is at most (least) `limit`.

    A `value` of None was not measured, because something that it needs could not run.
    """

    text: str
    value: float | None
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        if self.value is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def compare(
    title: str,
    contenders: Sequence[Contender],
    options: Options,
    settle: Callable[[], Any],
    warm_up: int | None = None,
    watch_warm_up: bool = False,
) -> Table:
    """Measure contenders side by side; one that cannot run is reported with its error.

    Parameters
    ----------
    title : str
    contenders : sequence of Contender
    options : Options
    settle : callable
        Called before each look at the memory, to collect the JVM's garbage. Not before the timed
        runs: it shrinks the heap, which costs the next run more than the garbage would.
    warm_up : int or None
        Untimed rounds, at least 1, in place of those of the options.
    watch_warm_up : bool
        Whether to look at the memory in the last of them, rather than in a run of its own: for
        jobs of minutes. Where it takes more than one, that round is the first repetition too.
    """
    watch_warm_up |= options.quick
    rows = [Measured(contender.name) for contender in contenders]
    pairs = list(zip(contenders, rows, strict=True))
    for left in reversed(range(options.warm_up if warm_up is None else warm_up)):
        watch = watch_warm_up and left == 0
        for contender, row in _able(pairs):
            with _noting_failure(row):
                if watch:
                    settle()
                memory = MemorySampler() if watch else None
                _warm_up(contender, row, memory)
    pairs = list(_able(pairs))
    counts = options.quick or (watch_warm_up and _is_long(rows))
    if not counts:
        for row in rows:
            row.forget()
    for contender, row in _able(turns(pairs, repetitions(options, rows) - counts, title)):
        with _noting_failure(row):
            _repeat(contender, row)
    for contender, row in () if watch_warm_up else _able(pairs):
        with _noting_failure(row):
            # A run of its own: reading the memory of large processes slows them down.
            settle()
            _watch(contender, row)
    return Table(title, rows)


def _able(pairs: Iterable[tuple[Contender, Measured]]) -> Iterator[tuple[Contender, Measured]]:
    """Pass on those that have not failed so far."""
    return (pair for pair in pairs if pair[1].error is None)


@contextmanager
def _noting_failure(row: Measured) -> Iterator[None]:
    """Keep what goes wrong in the block as the row's error, so that the others go on."""
    try:
        yield
    except Exception as error:
        row.error = row.error or f"{type(error).__name__}: {error}"


def complete(tables: Iterable[Table]) -> list[Table]:
    """Collect tables that take long, until all are there or the user has pressed Ctrl-C.

    The last table then says so in its note.

    Raises
    ------
    KeyboardInterrupt
        If none was complete.
    """
    kept: list[Table] = []
    try:
        for table in tables:
            kept.append(table)
    except KeyboardInterrupt:
        if not kept:
            raise
        _note(f"interrupted: kept are {', '.join(table.title for table in kept)}")
        kept[-1] = replace(kept[-1], note=f"{kept[-1].note} {INTERRUPTED}".strip())
    return kept


def repetitions(options: Options, rows: Sequence[Measured]) -> int:
    """Timed repetitions: those of the options, but few of what took long when last warmed up."""
    return min(options.repeat, _FEW) if _is_long(rows) else options.repeat


def _is_long(rows: Sequence[Measured]) -> bool:
    return any(row.warm_up_s[-1] > _LONG_SECONDS for row in rows if row.warm_up_s)


def turns(items: Sequence[_Item], repeat: int, title: str) -> Iterator[_Item]:
    """Yield all items `repeat` times, noting the progress under `title`."""
    for repetition in range(repeat):
        # Each goes first in turn, so that no place in the order is always somebody's.
        shift = repetition % max(1, len(items))
        yield from [*items[shift:], *items[:shift]]
        _note(f"{title}: repetition {repetition + 1} of {repeat}")


def _warm_up(contender: Contender, row: Measured, memory: MemorySampler | None) -> None:
    gc.collect()
    with memory or nullcontext(), Usage() as usage:
        result = contender.run()
    row.warm_up_s.append(usage.seconds)
    if memory:
        row.memory = memory.summary()
        _keep(contender, row, usage, result)
    row.facts.update(contender.check(result))
    contender.release(result)


def _repeat(contender: Contender, row: Measured) -> None:
    gc.collect()
    with Usage() as usage:
        result = contender.run()
    _keep(contender, row, usage, result)
    contender.release(result)


def _keep(contender: Contender, row: Measured, usage: Usage, result: Any) -> None:
    row.add(**usage.summary())
    for part, seconds in contender.parts(result).items():
        row.parts.setdefault(part, []).append(seconds)


def _watch(contender: Contender, row: Measured) -> None:
    gc.collect()
    with MemorySampler() as memory:
        result = contender.run()
    contender.release(result)
    row.memory = memory.summary()


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
