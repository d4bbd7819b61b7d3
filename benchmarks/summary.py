"""``python -m benchmarks report``: all results of a folder as one Markdown and one HTML file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import charts, report
from benchmarks.options import CASES, BadArgumentError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; } h2 { margin-top: 3rem; border-top: 1px solid #ddd;
       padding-top: 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e4e4e4;
       white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
tr.ours td:first-child { font-weight: 600; color: #1f6f8b; }
tr.missed td { color: #a33; } .quick, .error { color: #a33; }
.about { color: #666; font-size: 12px; } svg { max-width: 100%; height: auto; }
"""


def write(folder: Path) -> list[Path]:
    """Write report.md and report.html from all JSON files of a folder.

    Returns
    -------
    list of Path

    Raises
    ------
    BadArgumentError
        If there is none, or one is not the record of a run.
    """
    records = read(folder)
    files = {"report.md": markdown(records), "report.html": page(records)}
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


def read(folder: Path) -> list[dict[str, Any]]:
    """Read the records of a folder, in the order of the cases."""
    records = {}
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text())
            records[record["benchmark"]] = record
        except (ValueError, KeyError, TypeError):
            raise BadArgumentError(f"{file} is not the record of a benchmark") from None
    if not records:
        raise BadArgumentError(f"there are no results in {folder}: run a case first")
    order = [*CASES, *records]
    return sorted(records.values(), key=lambda record: order.index(record["benchmark"]))


def verdict(records: Sequence[dict[str, Any]]) -> tuple[str, list[list[str]]]:
    """Return how many targets are met, and those that are not, each with its case."""
    targets = [(each["benchmark"], target) for each in records for target in each["targets"]]
    missed = [[case, *report.target_cells(t)[:3]] for case, t in targets if not t["met"]]
    said = f"{len(targets) - len(missed)} of {len(targets)} targets are met"
    return f"{said}; these are missed:" if missed else f"{said}.", missed


def markdown(records: Sequence[dict[str, Any]]) -> str:
    """Render all records as one Markdown text."""
    said, missed = verdict(records)
    lines = ["# Benchmarks", "", said, ""]
    if missed:
        lines += ["| case | target | measured | limit |", "|---|---|---|---|"]
        lines += [*(f"| {' | '.join(row)} |" for row in missed), ""]
    lines += ["The same with charts: report.html.", ""]
    for record in records:
        lines += [f"## {record['benchmark']}: {record['question']}", ""]
        if record["options"]["quick"]:
            lines += [f"**{report.QUICK}**", ""]
        for table in record["tables"]:
            lines += [f"### {table['title']}", "", *report.markdown_table(table)]
        lines += [*report.markdown_targets(record["targets"]), report.about(record), ""]
    return "\n".join(lines)


def page(records: Sequence[dict[str, Any]]) -> str:
    """Render all records as one HTML page that needs no other file."""
    said, missed = verdict(records)
    body = ["<h1>Benchmarks of raydp_ml</h1>", f"<p>{html.escape(said)}</p>"]
    if missed:
        body.append(
            _table(["case", "target", "measured", "limit"], missed, ["missed"] * len(missed))
        )
    links = (f'<a href="#{r["benchmark"]}">{r["benchmark"]}</a>' for r in records)
    body.append(f"<p>{' · '.join(links)}</p>")
    for record in records:
        body += _section(record)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Benchmarks of raydp_ml</title>\n<style>{_STYLE}</style>\n"
        + "\n".join(body)
        + "\n</html>\n"
    )


def _section(record: dict[str, Any]) -> Iterable[str]:
    name = record["benchmark"]
    yield f'<h2 id="{name}">{name}: {html.escape(record["question"])}</h2>'
    if record["options"]["quick"]:
        yield f'<p class="quick">{report.QUICK}</p>'
    for table in record["tables"]:
        yield f"<h3>{html.escape(table['title'])}</h3>"
        figure = charts.figure_of(table)
        if figure is not None:
            yield charts.svg(figure)
        if table.get("note"):
            yield f"<p>{_inline(table['note'])}</p>"
        head, rows = report.cells(table)
        yield _table(head, rows, ["ours" if charts.is_ours(row[0]) else "" for row in rows])
        yield from (f'<p class="error">{html.escape(text)}</p>' for text in report.errors(table))
    targets = record["targets"]
    if targets:
        classes = ["" if target["met"] else "missed" for target in targets]
        rows = [report.target_cells(target) for target in targets]
        yield _table(["target", "measured", "limit", "met"], rows, classes)
    yield from (f'<p class="about">{_inline(p)}</p>' for p in report.about(record).split("\n\n"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str]) -> str:
    lines = ["<tr>" + "".join(f"<th>{_inline(cell)}</th>" for cell in head) + "</tr>"]
    for row, kind in zip(rows, classes, strict=True):
        cells = "".join(f"<td>{_inline(cell)}</td>" for cell in row)
        lines.append(f'<tr class="{kind}">{cells}</tr>' if kind else f"<tr>{cells}</tr>")
    return '<div class="wide"><table>' + "\n".join(lines) + "</table></div>"


def _inline(text: str) -> str:
    """Turn the few marks of Markdown that our texts have into HTML."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)
