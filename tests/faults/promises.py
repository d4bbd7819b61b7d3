"""What raydp_ml promises of each fault in each phase: the table of docs/reliability.md.

python -m tests.faults.promises
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "exact"
CLOSE = "equal to the order of sums"
"""Where workers may train on other shares of the rows than before."""
PHASES = (
    "from_spark",
    "to_spark",
    "statistics",
    "XGBoost fit",
    "torch fit",
    "predict",
    "search",
    "idle",
)


@dataclass(frozen=True)
class Promise:
    """What comes of a fault: `EXACT`, or the name of the error and a piece of its text.

    Attributes
    ----------
    outcomes : tuple of str
        More than one where it depends on which node the rows were on.
    """

    outcomes: tuple[str, ...]
    text: str = ""

    def __str__(self) -> str:
        return " or ".join(f"`{it}`" if it.endswith("Error") else it for it in self.outcomes)


SAME = Promise((EXACT,))
NOT_USED = None
"""The phase does not use what the fault hits."""


def _all(promise: Promise | None, **but: Promise | None) -> dict[str, Promise | None]:
    return {phase: but.get(phase.replace(" ", "_"), promise) for phase in PHASES}


UNREACHABLE = Promise(("Py4JJavaError",), "has ended")
"""Spark's own error of a job, with the reason of its tasks."""

NOT_PROMISED = Promise(("not promised",))
"""Ray itself ends a process that waits for a worker while another of its threads shuts Ray down."""

LOST_JVM = Promise(("SessionError",), "The driver JVM has ended")
STOPPED = Promise(("SessionError",), "stopped")
NOTHING_LEFT = Promise(("nothing left",))
STORE_FULL = Promise(("ResourceError",), "object_store_memory")
DISK_FULL = Promise(("ResourceError",), "TMPDIR")
WORKERS_LOST = _all(NOT_USED, XGBoost_fit=SAME, torch_fit=SAME, search=SAME)

PROMISES: dict[str, dict[str, Promise | None]] = {
    "training worker killed": WORKERS_LOST,
    "training worker stopped for 60 s": _all(NOT_USED, XGBoost_fit=SAME, torch_fit=SAME),
    "block server killed": _all(SAME, to_spark=UNREACHABLE),
    "driver's JVM killed": _all(LOST_JVM, XGBoost_fit=SAME, torch_fit=SAME, search=SAME),
    "stop_spark() in another thread": _all(STOPPED, XGBoost_fit=SAME, torch_fit=SAME, search=SAME),
    "ray.shutdown() in another thread": _all(
        Promise(("SessionError",), "Ray was shut down"),
        XGBoost_fit=NOT_PROMISED,
        torch_fit=NOT_PROMISED,
        search=NOT_PROMISED,
        to_spark=UNREACHABLE,
        statistics=SAME,
        predict=SAME,
        idle=SAME,
    ),
    "disk of temporary files full": _all(SAME, predict=DISK_FULL),
    "object store and its disk full": _all(SAME, from_spark=STORE_FULL, idle=STORE_FULL),
    "Ray node lost": _all(
        SAME,
        XGBoost_fit=Promise((EXACT, CLOSE)),
        torch_fit=Promise((EXACT, CLOSE)),
        search=Promise((EXACT, CLOSE)),
    ),
    "native executor killed": _all(SAME),
    "AppMaster killed": _all(SAME),
    "standalone Worker killed": _all(SAME),
    "standalone Master killed": _all(SAME),
    "driver killed": _all(NOTHING_LEFT),
}


ELSEWHERE = {"training worker ended by Ray's memory monitor": WORKERS_LOST}
"""Shown by `tests/training/gang/test_memory_monitor.py`."""


def table() -> str:
    """Return the promises as a table in Markdown."""
    rows = [["event", *PHASES], ["---"] * (len(PHASES) + 1)]
    for event, promised in (PROMISES | ELSEWHERE).items():
        rows.append([event, *("" if of is None else str(of) for of in promised.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
