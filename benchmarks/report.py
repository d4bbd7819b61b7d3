"""What a run leaves: a JSON file with everything, and Markdown tables to read."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import Measured, Table, Target
from benchmarks.options import CASES, Options
from raydp_ml.session.java import find_java

QUICK = "A quick run: these figures mean nothing."
_PACKAGES = ("raydp_ml", "pyspark", "ray", "pyarrow", "pandas", "numpy", "scikit-learn")
_NO_RESULTS = ":(top,exclude)benchmarks/results"
_MEMORY = (("peak MB", "peak_pss_mb"), ("rise MB", "rise_pss_mb"))
_MEMORY_NOTE = (
    "; peak memory (PSS) of driver, JVM, Spark's and Ray's workers together in a run of its own "
    "(where one takes minutes, in the warm-up), and how far it rose above the level before, to "
    "which pages of the object store that were used once belong: see `memory` for what grows"
)


def begin(name: str, options: Options) -> dict[str, Any]:
    """Note what is known before the run."""
    return {
        "benchmark": name,
        "question": CASES[name],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "options": asdict(options),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(
            # The figures of the case before are no change of the code.
            _git("status", "--porcelain", "--untracked-files=no", "--", ":/", _NO_RESULTS)
        ),
        "versions": _versions(),
        "machine": _machine(),
        "load_before": os.getloadavg()[0],
    }


def finish(
    record: dict[str, Any], tables: Sequence[Table], targets: Sequence[Target]
) -> dict[str, Any]:
    """Add what was measured."""
    return record | {
        "load_after": os.getloadavg()[0],
        "tables": [
            {
                "title": table.title,
                "note": table.note,
                "axis": table.axis,
                "drawn": list(table.drawn),
                "contenders": [_contender(row) for row in table.rows],
            }
            for table in tables
        ],
        "targets": [asdict(target) | {"met": target.met} for target in targets],
    }


def write(record: dict[str, Any], folder: Path) -> str:
    """Write NAME.json and NAME.md; returns the latter's text."""
    name = record["benchmark"]
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    text = markdown(record)
    (folder / f"{name}.md").write_text(text)
    return text


def _contender(row: Measured) -> dict[str, Any]:
    if not row.seconds:
        return {"name": row.name, "error": row.error, "facts": row.facts}
    return {
        "name": row.name,
        "error": row.error,
        "median_s": row.median,
        "min_s": min(row.seconds),
        "max_s": max(row.seconds),
        "cpu_s": statistics.median(row.cpu_s),
        "other_cpu_s": statistics.median(row.other_cpu_s),
        **row.memory,
        "facts": row.facts,
        "parts": row.parts,
        "seconds": row.seconds,
        "warm_up_s": row.warm_up_s,
    }


def markdown(record: dict[str, Any]) -> str:
    """Render a record as Markdown."""
    lines = [f"# {record['benchmark']}: {record['question']}", ""]
    if record["options"]["quick"]:
        lines += [f"**{QUICK}**", ""]
    for table in record["tables"]:
        lines += [f"## {table['title']}", "", *markdown_table(table)]
    lines += [*markdown_targets(record["targets"]), about(record), ""]
    return "\n".join(lines)


def markdown_table(table: dict[str, Any]) -> list[str]:
    """Render a table as lines of Markdown, with its note and the errors in it."""
    head, rows = cells(table)
    lines = [table["note"], ""] if table.get("note") else []
    lines += [*_grid(head, rows), ""]
    found = [f"- {text}" for text in errors(table)]
    return [*lines, *found, *([""] if found else [])]


def markdown_targets(targets: Sequence[dict[str, Any]]) -> list[str]:
    """Render targets as lines of Markdown."""
    if not targets:
        return []
    return [*_grid(["target", "measured", "limit", "met"], map(target_cells, targets)), ""]


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def cells(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table, as text; ``**`` marks what is bold."""
    rows = table["contenders"]
    facts = list(dict.fromkeys(name for row in rows for name in row["facts"]))
    parts = list(dict.fromkeys(name for row in rows for name in row.get("parts", {})))
    memory = [(head, key) for head, key in _MEMORY if any(key in row for row in rows)]
    head = ["contender", "seconds", *(f"{part} s" for part in parts), "CPU s", "others' CPU s"]
    body = []
    for row in rows:
        seen = row.get("parts", {})
        seconds, *usage = _times(row)
        body.append(
            [
                row["name"],
                seconds,
                *(f"{statistics.median(seen[part]):.2f}" if part in seen else "" for part in parts),
                *usage,
                *(f"{row[key]:.0f}" if key in row else "" for _, key in memory),
                *(_fact(row["facts"].get(name)) for name in facts),
            ]
        )
    return [*head, *dict(memory), *facts], body


def errors(table: dict[str, Any]) -> list[str]:
    """Say who could not run, and why."""
    return [
        f"{row['name']} failed: {_one_line(row['error'])}"
        for row in table["contenders"]
        if row.get("error")
    ]


def target_cells(target: dict[str, Any]) -> list[str]:
    """Return a target as text, measured value and limit."""
    sign = "≥" if target["at_least"] else "≤"
    value = "not measured" if target["value"] is None else f"{target['value']:.3g}"
    limit = f"{sign} {target['limit']:g}"
    return [target["text"], value, limit, "yes" if target["met"] else "**no**"]


def about(record: dict[str, Any]) -> str:
    """Say how and where the figures of a record came about, as Markdown."""
    machine, rows = record["machine"], [row for t in record["tables"] for row in t["contenders"]]
    counts = sorted({len(row["seconds"]) for row in rows if "seconds" in row}, reverse=True)
    memory = _MEMORY_NOTE if any(_MEMORY[0][1] in row for row in rows) else ""
    changes = " with uncommitted changes" if record["uncommitted_changes"] else ""
    return (
        f"Median (least..most) of {' or '.join(map(str, counts))} interleaved repetitions after "
        "warm-up (but for cold starts, and for jobs of minutes, which warm themselves); CPU "
        "seconds of all processes of the run, and of others on the machine meanwhile, to which "
        "Ray's workers count once they have ended"
        f"{memory}.\n\n"
        f"`{record['command']}`, {record['date']}, commit {str(record['commit'])[:12]}{changes}; "
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']:.0f} GB; load "
        f"{record['load_before']:.1f} before, {record['load_after']:.1f} after; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    )


def _times(row: dict[str, Any]) -> list[str]:
    if "median_s" not in row:
        return ["could not run", "", ""]
    return [
        f"**{row['median_s']:.2f}** ({row['min_s']:.2f}..{row['max_s']:.2f})",
        f"{row['cpu_s']:.2f}",
        f"{row['other_cpu_s']:.2f}",
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _fact(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else f"{value}"


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, "xgboost", "xgboost-cpu"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"java": str(find_java().version)}


def _machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "memory_gb": psutil.virtual_memory().total / 1e9,
        "system": platform.platform(),
    }
