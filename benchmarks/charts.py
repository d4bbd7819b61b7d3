"""Charts of a record's tables, as SVG text: bars with their spread, lines on log-log axes."""

from __future__ import annotations

import io
import re
import statistics
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.growth import exponent

# What a user of raydp_ml writes, as against what the others' do.
_OURS = re.compile(r"raydp_ml|from_spark|to_spark|XGB\w+\.fit|^XGB|^Torch|model\.predict|^fit$")
OURS_COLOR, OTHERS_COLOR, SPREAD_COLOR = "#4497b3", "#b9c0c7", "#222222"
PALETTE = ("#1f6f8b", "#d9822b", "#6a9a3b", "#8e5ea2", "#b04a5a", "#333333")
_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "svg.fonttype": "none",
    # The same record gives the same file.
    "svg.hashsalt": "raydp_ml",
}


def is_ours(name: str) -> bool:
    """Whether a contender is one of raydp_ml's."""
    return _OURS.search(name) is not None


def figure_of(table: dict[str, Any]) -> Figure | None:
    """Draw a table; None where none of its contenders ran."""
    rows = [row for row in table["contenders"] if "median_s" in row]
    if not rows:
        return None
    with matplotlib.rc_context(_STYLE):
        if table.get("axis"):
            return _lines(table, rows)
        return _stacked(table, rows) if any(row.get("parts") for row in rows) else _bars(table)


def svg(figure: Figure) -> str:
    """Return a figure as an ``<svg>`` element."""
    file = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(
            file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
        )
    text = file.getvalue()
    return text[text.index("<svg") :]


def _figure(height: float) -> tuple[Figure, Axes]:
    # Without pyplot, which would choose a window system.
    figure = Figure(figsize=(8, height), layout="constrained")
    return figure, figure.subplots()


def _bars(table: dict[str, Any]) -> Figure:
    contenders = table["contenders"]
    figure, axes = _figure(0.34 * len(contenders) + 0.75)
    longest = max(row["max_s"] for row in contenders if "median_s" in row)
    for place, row in enumerate(contenders):
        if "median_s" not in row:
            axes.text(0, place, " could not run", va="center", color="#a33")
            continue
        color = OURS_COLOR if is_ours(row["name"]) else OTHERS_COLOR
        axes.barh(place, row["median_s"], color=color, height=0.62)
        _spread(axes, row, place)
        axes.text(row["max_s"] + 0.01 * longest, place, f"{row['median_s']:.3g} s", va="center")
    _name_rows(axes, contenders)
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel("seconds: median, and least to most")
    return figure


def _stacked(table: dict[str, Any], rows: list[dict[str, Any]]) -> Figure:
    figure, axes = _figure(0.34 * len(rows) + 1.15)
    parts = list(dict.fromkeys(part for row in rows for part in row["parts"]))
    longest = max(row["max_s"] for row in rows)
    for place, row in enumerate(rows):
        left = 0.0
        for part, seconds in row["parts"].items():
            width = statistics.median(seconds)
            color = PALETTE[parts.index(part) % len(PALETTE)]
            axes.barh(place, width, left=left, color=color, height=0.62)
            left += width
        _spread(axes, row, place)
        axes.text(row["max_s"] + 0.01 * longest, place, f"{row['median_s']:.3g} s", va="center")
    _name_rows(axes, rows)
    for index, part in enumerate(parts):
        axes.barh(0, 0, color=PALETTE[index % len(PALETTE)], label=part)
    axes.legend(ncols=len(parts), frameon=False, loc="lower left", bbox_to_anchor=(0, 1))
    axes.set_xlim(0, 1.12 * longest)
    axes.set_xlabel("seconds: medians of the parts, and least to most of the whole")
    return figure


def _spread(axes: Axes, row: dict[str, Any], place: int) -> None:
    axes.plot([row["min_s"], row["max_s"]], [place, place], color=SPREAD_COLOR, linewidth=1.2)


def _name_rows(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if is_ours(row["name"]) else "normal")
    axes.set_ylim(len(rows) - 0.5, -0.5)  # downwards, and with those that could not run
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _lines(table: dict[str, Any], rows: list[dict[str, Any]]) -> Figure:
    axis, drawn = table["axis"], table["drawn"]
    figure, axes = _figure(3.4)
    for index, (name, points) in enumerate(_series(rows, axis, drawn).items()):
        sizes, values, least, most = zip(*sorted(points), strict=True)
        label = name
        if len(set(sizes)) > 1:
            label += f"   ~ {axis}^{exponent(sizes, values):.2f}".replace("-0.00", "0.00")
        color = PALETTE[index % len(PALETTE)]
        axes.plot(sizes, values, marker="o", markersize=4, color=color, label=label)
        axes.fill_between(sizes, least, most, color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted({row["facts"][axis] for row in rows})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    few = high < 10 * low  # within a decade each tick has room for its number
    for ticks in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        ticks(FuncFormatter(lambda value, _: f"{value:g}" if few or _is_round(value) else ""))
    axes.set_xlabel(axis)
    axes.set_ylabel("peak MB" if drawn else "seconds")
    axes.grid(which="major", color="#e6e6e6", linewidth=0.8)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _is_round(value: float) -> bool:
    return f"{value:.0e}"[0] in "125"


def _series(
    rows: Sequence[dict[str, Any]], axis: str, drawn: Sequence[str]
) -> dict[str, list[tuple[float, float, float, float]]]:
    """Points (size, value, least, most) of each line; what is 0 has no place on a log axis."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for row in rows:
        size = row["facts"][axis]
        if not drawn:
            point = (size, row["median_s"], row["min_s"], row["max_s"])
            found.setdefault(row["name"], []).append(point)
        for name in drawn:
            value = row["facts"][name]
            if value > 0:
                found.setdefault(name.removesuffix(" MB"), []).append((size, *[value] * 3))
    return found
