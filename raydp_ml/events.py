"""What the logger ``raydp_ml`` says at INFO: one line when something has ended.

The form is ``event name=value name=value``, the seconds last::

    from_spark rows=1000000 bytes=80000000 blocks=3 tasks=8 retries=0 seconds=0.412

A library leaves it to the program whether and where lines are shown (``logging.basicConfig(
level="INFO")``): there is no handler here and no level, so that Python shows warnings and nothing
below.
"""

from __future__ import annotations

import json
import logging
import re
import time

_PLAIN = re.compile(r"[\w.,:/+\[\]*-]+")


class Stopwatch:
    """The time since it was made."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def tell(self, logger: logging.Logger, event: str, **facts: object) -> None:
        """Log that `event` has ended, what is known of it, and how long it took.

        Parameters
        ----------
        logger : logging.Logger
            The caller's, of its module.
        event : str
            Such as ``"from_spark"``.
        **facts
            Numbers and names; None is left out. Never a secret, nor a value of the user's data.
        """
        if not logger.isEnabledFor(logging.INFO):
            return
        said = [f"{name}={_text(value)}" for name, value in facts.items() if value is not None]
        seconds = time.perf_counter() - self._begun
        logger.info("%s", " ".join([event, *said, f"seconds={seconds:.3f}"]))


def _text(value: object) -> str:
    """Spell a value so that a space ends it."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
