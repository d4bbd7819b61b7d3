"""Runs contenders side by side: warm-up, interleaved repetitions, then one run for the memory."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.options import Options
from benchmarks.processes import MemorySampler, cpu_seconds, machine_cpu_seconds


def _nothing(_: Any) -> None:
    return None


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
    """

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], dict[str, Any]]
    release: Callable[[Any], None] = _nothing


@dataclass
class Measured:
    """What was seen of one contender; CPU seconds are those of all processes of the run."""

    name: str
    warm_up_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    other_cpu_s: list[float] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median of the timed repetitions in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Table:
    """Contenders that did the same job."""

    title: str
    rows: list[Measured]

    def __getitem__(self, name: str) -> Measured:
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True)
class Target:
    """A figure that the project has set itself; met when `value` is at most (least) `limit`."""

    text: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def compare(
    title: str, contenders: Sequence[Contender], options: Options, settle: Callable[[], Any]
) -> Table:
    """Measure contenders side by side.

    Parameters
    ----------
    title : str
    contenders : sequence of Contender
    options : Options
    settle : callable
        Called before each look at the memory, to collect the JVM's garbage. Not before the timed
        runs: it shrinks the heap, which costs the next run more than the garbage would.
    """
    rows = [Measured(contender.name) for contender in contenders]
    pairs = list(zip(contenders, rows, strict=True))
    for _ in range(options.warm_up):
        for contender, row in pairs:
            seconds, facts = _once(contender)
            row.warm_up_s.append(seconds)
            row.facts.update(facts)
    for repetition in range(options.repeat):
        # Each goes first in turn, so that no place in the order is always somebody's.
        shift = repetition % len(pairs)
        for contender, row in pairs[shift:] + pairs[:shift]:
            gc.collect()
            _timed(contender, row)
        _note(f"{title}: repetition {repetition + 1} of {options.repeat}")
    for contender, row in pairs:
        # A run of its own: reading the memory of large processes slows them down.
        settle()
        gc.collect()
        with MemorySampler() as memory:
            result = contender.run()
        contender.release(result)
        row.memory = memory.summary()
    return Table(title, rows)


def _once(contender: Contender) -> tuple[float, dict[str, Any]]:
    begin = time.perf_counter()
    result = contender.run()
    seconds = time.perf_counter() - begin
    facts = contender.check(result)
    contender.release(result)
    return seconds, facts


def _timed(contender: Contender, row: Measured) -> None:
    machine, ours = machine_cpu_seconds(), cpu_seconds()
    begin = time.perf_counter()
    result = contender.run()
    row.seconds.append(time.perf_counter() - begin)
    spent = cpu_seconds() - ours
    row.cpu_s.append(spent)
    # Above about 0.1 s of it per second, the times are those of a machine with others on it.
    row.other_cpu_s.append(max(0.0, machine_cpu_seconds() - machine - spent))
    contender.release(result)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
