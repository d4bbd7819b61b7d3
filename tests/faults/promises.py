"""What raydp_ml promises of each fault in each phase: the table of docs/reliability.md.

    python -m tests.faults.promises > docs/reliability-table.md    # for the page, between its marks
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "the same result"
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
    """What comes of a fault: `EXACT`, or the name of the error and a piece of its text."""

    outcome: str
    text: str = ""


SAME = Promise(EXACT)
NOT_USED = None
"""The phase does not use what the fault hits."""


def _all(promise: Promise | None, **but: Promise | None) -> dict[str, Promise | None]:
    return {phase: but.get(phase.replace(" ", "_"), promise) for phase in PHASES}


LOST_JVM = Promise("SessionError", "The driver JVM has ended")
WORKERS_LOST = _all(NOT_USED, XGBoost_fit=SAME, torch_fit=SAME, search=SAME)

PROMISES: dict[str, dict[str, Promise | None]] = {
    "training worker killed": WORKERS_LOST,
    "training worker stopped for 60 s": _all(NOT_USED, XGBoost_fit=SAME, torch_fit=SAME),
    "block server killed": _all(SAME),
    "driver's JVM killed": _all(LOST_JVM, XGBoost_fit=SAME, torch_fit=SAME),
    "stop_spark() in another thread": _all(LOST_JVM),
    "ray.shutdown() in another thread": _all(SAME),
    "native executor killed": _all(SAME),
    "AppMaster killed": _all(SAME),
    "standalone Worker killed": _all(SAME),
    "standalone Master killed": _all(SAME),
}
