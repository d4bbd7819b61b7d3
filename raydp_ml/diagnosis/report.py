"""What a diagnosis found: checks, each with a status, and how they are shown."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "warning", "failure", "skipped"]

_NAME_WIDTH = 20
_INDENT = " " * (9 + _NAME_WIDTH)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    status : {"ok", "warning", "failure", "skipped"}
        A warning works, though worse than it could; what was skipped was not tried.
    found : str
        What is there, or went wrong.
    remedy : str
        What to do about it; empty where nothing is to be done.
    seconds : float or None
        How long it took, where that says something.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
    seconds: float | None = None

    def __str__(self) -> str:
        """One line, and one more for the remedy."""
        status = "FAILURE" if self.status == "failure" else self.status
        time = "" if self.seconds is None else f" ({self.seconds:.1f} s)"
        found = self.found.replace("\n", f"\n{_INDENT}")
        line = f"{status:<8} {self.name:<{_NAME_WIDTH}}{found}{time}"
        return f"{line}\n{_INDENT}-> {self.remedy}" if self.remedy else line


@dataclass(frozen=True)
class Diagnosis:
    """What `raydp_ml.diagnose` found.

    Attributes
    ----------
    checks : tuple of Check
        In the order in which they were made.
    """

    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings are allowed."""
        return not any(check.status == "failure" for check in self.checks)

    def __getitem__(self, name: str) -> Check:
        """Return the check of this name."""
        found = {check.name: check for check in self.checks}
        if name not in found:
            raise KeyError(f"There is no check {name!r}; there are {list(found)}.")
        return found[name]

    def __str__(self) -> str:
        """The table, and one line of summary."""
        return "\n".join([*map(str, self.checks), self.summary()])

    def summary(self) -> str:
        """Say in one line how it went."""
        failed = ", ".join(check.name for check in self.checks if check.status == "failure")
        counts: Counter[str] = Counter(check.status for check in self.checks)
        words = {"warning": "with warnings", "skipped": "not tried"}
        parts = [f"{counts[status]} {word}" for status, word in words.items() if counts[status]]
        more = f" ({', '.join(parts)})" if parts else ""
        return f"Failed: {failed}{more}." if failed else f"All is well{more}."

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{check.status}</td><td>{html.escape(check.name)}</td>"
            f"<td>{html.escape(check.found)}</td><td>{html.escape(check.remedy)}</td></tr>"
            for check in self.checks
        )
        head = "<tr><th>status</th><th>check</th><th>found</th><th>what to do</th></tr>"
        return f"<table>{head}{rows}</table><p>{html.escape(self.summary())}</p>"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: ``{"ok": bool, "checks": [{"name": ..., ...}, ...]}``."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def ok(found: str) -> Check:
    """All is well."""
    return Check("", "ok", found)


def warning(found: str, remedy: str) -> Check:
    """It works, though worse than it could."""
    return Check("", "warning", found, remedy)


def failure(found: str, remedy: str) -> Check:
    """It does not work."""
    return Check("", "failure", found, remedy)


def not_tried(needed: str, name: str = "") -> Check:
    """Something else has to work first."""
    return Check(name, "skipped", f"not tried: needs {needed}")
