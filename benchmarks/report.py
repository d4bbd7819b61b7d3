"""What a run leaves: a JSON file with everything, and a Markdown table to read."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import Measured, Table, Target
from benchmarks.options import CASES, Options
from raydp_ml.session.java import find_java

_PACKAGES = ("raydp_ml", "pyspark", "ray", "pyarrow", "pandas", "numpy", "scikit-learn")
_MEMORY = (("peak MB", "peak_pss_mb"), ("rise MB", "rise_pss_mb"))
_MEMORY_NOTE = (
    "; peak memory (PSS) of driver, JVM, Spark's and Ray's workers together in a run of its own, "
    "and how far it rose above the level before"
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
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
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
        "seconds": row.seconds,
        "warm_up_s": row.warm_up_s,
    }


def markdown(record: dict[str, Any]) -> str:
    """Render a record as Markdown."""
    machine, options = record["machine"], record["options"]
    lines = [f"# {record['benchmark']}: {record['question']}", ""]
    if options["quick"]:
        lines += ["**A quick run: these figures mean nothing.**", ""]
    for table in record["tables"]:
        lines += _table(table)
    lines += ["| target | measured | limit | met |", "|---|---|---|---|"]
    for target in record["targets"]:
        sign = "≥" if target["at_least"] else "≤"
        value = "not measured" if target["value"] is None else f"{target['value']:.2f}"
        met = "yes" if target["met"] else "no"
        lines.append(f"| {target['text']} | {value} | {sign} {target['limit']:g} | {met} |")
    has_memory = any(
        _MEMORY[0][1] in row for table in record["tables"] for row in table["contenders"]
    )
    changes = " with uncommitted changes" if record["uncommitted_changes"] else ""
    lines += [
        "",
        f"Median (least..most) of {options['repeat']} interleaved repetitions after "
        "warm-up; CPU seconds of all processes of the run, and of others on the machine meanwhile"
        f"{_MEMORY_NOTE if has_memory else ''}.",
        "",
        f"`{record['command']}`, {record['date']}, commit {str(record['commit'])[:12]}{changes}; "
        f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['memory_gb']:.0f} GB; load "
        f"{record['load_before']:.1f} before, {record['load_after']:.1f} after; "
        + ", ".join(f"{name} {number}" for name, number in record["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def _table(table: dict[str, Any]) -> list[str]:
    rows = table["contenders"]
    facts = list(dict.fromkeys(name for row in rows for name in row["facts"]))
    memory = [(head, key) for head, key in _MEMORY if any(key in row for row in rows)]
    head = ["contender", "seconds", "CPU s", "others' CPU s", *dict(memory), *facts]
    lines = [f"## {table['title']}", ""]
    if table["note"]:
        lines += [table["note"], ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [*_times(row), *(f"{row[key]:.0f}" if key in row else "" for _, key in memory)]
        cells += [_fact(row["facts"].get(name)) for name in facts]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    errors = [f"- {row['name']} failed: {_one_line(row['error'])}" for row in rows if row["error"]]
    return [*lines, "", *errors, *([""] if errors else [])]


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
