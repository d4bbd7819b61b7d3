"""The report of all results: what it says, what its charts show."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from benchmarks import charts, report, summary
from benchmarks.__main__ import RESULTS
from benchmarks.harness import Measured, Table, Target
from benchmarks.options import CASES, BadArgumentError, Options

OPTIONS = Options(rows=None, workers=2, modes=(), quick=False, repeat=3)


def measured(name, *seconds, parts=None, **facts):
    row = Measured(name, facts=facts, parts=parts or {})
    for each in seconds:
        row.add(each, cpu_s=each, other_cpu_s=0.0)
    return row


def recorded(name, tables, targets=()):
    record = report.finish(report.begin(name, OPTIONS), tables, targets)
    return json.loads(json.dumps(record))


def times():
    rows = [measured("from_spark", 2.0, 1.0, 4.0), measured("df.toArrow()", 9.0, 6.0, 8.0)]
    rows.append(Measured("Parquet <read>", error="OSError: no\nspace"))
    return Table("Spark to Arrow", rows, "All are `warm`.")


def growing():
    rows = [measured("fit", n / 50, n / 100, n / 200, rows=n) for n in (100, 1000, 10_000)]
    return Table("By rows", rows, "fit grows as rows^1.00", axis="rows")


@pytest.fixture
def folder(tmp_path):
    met, missed = Target("is fast", 3.0, 2, at_least=True), Target("is small", 5.0, 2)
    for name, tables, targets in (
        ("scaling", [growing()], []),
        ("exchange", [times()], [met, missed]),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(recorded(name, tables, targets)))
    return tmp_path


class Page(HTMLParser):
    """Checks that what is opened is closed, and collects the text and what is loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.loads, self.charts = [], [], [], 0
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.loads += [found[name] for name in ("src", "href", "xlink:href") if name in found]
        self.charts += tag == "svg"
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_report_is_one_markdown_and_one_html_file(folder):
    assert summary.write(folder) == [folder / "report.md", folder / "report.html"]
    text = (folder / "report.md").read_text()
    assert text.index(f"## exchange: {CASES['exchange']}") < text.index("## scaling: ")
    assert "1 of 2 targets are met; these are missed:" in text
    assert "| exchange | is small | 5 | ≤ 2 |\n" in text
    assert "| is fast | 3 | ≥ 2 | yes |\n| is small | 5 | ≤ 2 | **no** |\n" in text
    assert "| from_spark | **2.00** (1.00..4.00) | 2.00 | 0.00 |\n" in text
    assert "- Parquet <read> failed: OSError: no space\n" in text
    assert "fit grows as rows^1.00" in text
    assert "Median (least..most) of 3 interleaved repetitions" in text


def test_the_page_is_whole_and_needs_no_other_file(folder):
    summary.write(folder)
    page = Page((folder / "report.html").read_text())
    assert page.charts == 2
    assert [load for load in page.loads if not load.startswith("#")] == []
    text = "".join(page.texts)
    assert "Parquet <read> failed: OSError: no space" in text
    assert "1 of 2 targets are met" in text
    assert "fit   ~ rows^1.00" in text  # in the chart


def test_rendering_again_changes_nothing(folder):
    before = [file.read_text() for file in summary.write(folder)]
    assert [file.read_text() for file in summary.write(folder)] == before


@pytest.mark.parametrize("text", ["{", "[]", '{"tables": []}'])
def test_what_is_no_record_is_refused(folder, text):
    (folder / "other.json").write_text(text)
    with pytest.raises(BadArgumentError, match=r"other\.json is not the record of a benchmark"):
        summary.write(folder)


def test_bars_are_as_long_as_the_medians():
    table = recorded("exchange", [times()])["tables"][0]
    (axes,) = charts.figure_of(table).axes
    assert [bar.get_width() for bar in axes.patches] == [2.0, 8.0]
    assert [list(line.get_xdata()) for line in axes.lines] == [[1.0, 4.0], [6.0, 9.0]]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "from_spark",
        "df.toArrow()",
        "Parquet <read>",
    ]
    assert [text.get_text() for text in axes.texts] == ["2 s", "8 s", " could not run"]


def test_parts_are_stacked():
    parts = {"read": [1.0, 3.0, 2.0], "train": [5.0, 5.0, 6.0]}
    table = recorded("airline", [Table("", [measured("raydp_ml", 8.0, 6.0, 9.0, parts=parts)])])
    (axes,) = charts.figure_of(table["tables"][0]).axes
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches if bar.get_width()]
    assert bars == [(0.0, 2.0), (2.0, 5.0)]
    head, (row,) = report.cells(table["tables"][0])
    assert (head[1:4], row[1:4]) == (
        ["seconds", "read s", "train s"],
        ["**8.00** (6.00..9.00)", "2.00", "5.00"],
    )


def test_lines_go_through_the_medians_of_all_sizes():
    table = recorded("scaling", [growing()])["tables"][0]
    (axes,) = charts.figure_of(table).axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[100, 1], [1000, 10], [10_000, 100]]
    assert line.get_label() == "fit   ~ rows^1.00"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(
    ("seconds", "numbers"),
    [((5.2, 7.6), ["6", "7"]), ((0.5, 40), ["0.5", "1", "2", "5", "10", "20"])],
)
def test_the_axis_of_lines_has_numbers(seconds, numbers):
    rows = [measured("fit", each, workers=n) for n, each in enumerate(seconds, 1)]
    table = recorded("scaling", [Table("", rows, axis="workers")])["tables"][0]
    figure = charts.figure_of(table)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    low, high = axes.get_ylim()
    ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    shown = sorted((t.get_loc(), t.label1.get_text()) for t in ticks if low <= t.get_loc() <= high)
    assert [text for _, text in shown if text] == numbers


def test_lines_of_facts_leave_out_what_is_nothing():
    drawn = ("driver MB", "spark python MB")
    rows = [
        measured("fit", 1.0, rows=n, **{drawn[0]: n**0.5, drawn[1]: 0.0}) for n in (100, 400, 900)
    ]
    table = recorded("memory", [Table("", rows, axis="rows", drawn=drawn)])["tables"][0]
    (axes,) = charts.figure_of(table).axes
    (line,) = axes.lines
    assert line.get_label() == "driver   ~ rows^0.50"
    assert line.get_ydata().tolist() == [10, 20, 30]


def test_a_table_of_which_none_ran_has_no_chart():
    table = recorded("torch", [Table("", [Measured("RayDP", error="x")])])["tables"][0]
    assert charts.figure_of(table) is None


def test_the_report_is_that_of_the_committed_results():
    records = summary.read(RESULTS)
    assert (RESULTS / "report.md").read_text() == summary.markdown(records)
    assert not any(record["options"]["quick"] for record in records)
    for record in records:
        name = record["benchmark"]
        assert (RESULTS / f"{name}.md").read_text() == report.markdown(record)
