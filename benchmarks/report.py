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
            {"title": table.title, "contenders": [_contender(row) for row in table.rows]}
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
    return {
        "name": row.name,
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
        met = "yes" if target["met"] else "no"
        lines.append(
            f"| {target['text']} | {target['value']:.2f} | {sign} {target['limit']:g} | {met} |"
        )
    changes = " with uncommitted changes" if record["uncommitted_changes"] else ""
    lines += [
        "",
        f"Median (least..most) of {options['repeat']} interleaved repetitions after "
        "warm-up; CPU seconds of all processes of the run, and of others on the machine meanwhile; "
        "peak memory (PSS) of driver, JVM, Spark's and Ray's workers together in a run of its "
        "own, and how far it rose above the level before.",
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
    head = ["contender", "seconds", "CPU s", "others' CPU s", "peak MB", "rise MB", *facts]
    lines = [f"## {table['title']}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [
            row["name"],
            f"**{row['median_s']:.2f}** ({row['min_s']:.2f}..{row['max_s']:.2f})",
            f"{row['cpu_s']:.2f}",
            f"{row['other_cpu_s']:.2f}",
            f"{row['peak_pss_mb']:.0f}",
            f"{row['rise_pss_mb']:.0f}",
            *(_fact(row["facts"].get(name)) for name in facts),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


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
