"""``python -m benchmarks``: list the cases, run one (or all) of them, or render what they left."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

from benchmarks import airline_data, report
from benchmarks.harness import INTERRUPTED, Table
from benchmarks.options import CASES, MODES, BadArgumentError, Options
from benchmarks.spark import kept_sessions
from raydp_ml.exceptions import RayDPMLError

RESULTS = Path(__file__).parent / "results"
USAGE = "python -m benchmarks [NAME|all|report] [options]; without a name, the cases are listed"
REPORT = "All results of a folder as one Markdown and one HTML file."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"benchmarks: {message}\n")


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return value


def _modes(text: str) -> tuple[str, ...]:
    modes = tuple(dict.fromkeys(text.split(",")))
    for mode in modes:
        if mode not in MODES:
            raise argparse.ArgumentTypeError(f"there is no {mode!r}; there are {', '.join(MODES)}")
    return modes


def parse(arguments: list[str] | None = None) -> tuple[list[str], Options, Path]:
    """Read the command line; ends the program with code 2 where it is wrong."""
    parser = _Parser(prog="benchmarks", usage=USAGE)
    parser.add_argument("name", nargs="?", help="a case, 'all', or 'report'")
    parser.add_argument("--rows", type=_count, help="rows of the large data set")
    parser.add_argument(
        "--workers", type=_count, default=2, help="to train on (default 2); airline: CPUs"
    )
    parser.add_argument(
        "--mode",
        type=_modes,
        default=(),
        help=f"of the Spark session, among {', '.join(MODES)}: one for fit (default local), one "
        "or several with commas for exchange (default all); session always starts all",
    )
    parser.add_argument("--quick", action="store_true", help="few rows, few repetitions: a test")
    parser.add_argument("--repeat", type=_count, help="timed repetitions (default 5; quick: 1)")
    parser.add_argument("--data", help="Parquet of on-time records, for airline")
    parser.add_argument("--results", type=Path, help=f"folder of the results (default {RESULTS})")
    given = parser.parse_args(arguments)
    if given.name not in {None, "all", "report", *CASES}:
        parser.error(f"there is no case {given.name!r}; there are {', '.join(CASES)}, all, report")
    if len(given.mode) > 1 and given.name != "exchange":
        parser.error("only exchange takes more than one --mode")
    if given.data is not None and given.name not in {"airline", "all"}:
        parser.error("only airline takes --data")
    if given.data is not None and given.rows is not None:
        parser.error("--rows is of generated data: leave it out beside --data")
    # Quick figures mean nothing, and must not take the place of real ones.
    folder = given.results or (RESULTS / "quick" if given.quick else RESULTS)
    repeat = given.repeat or (1 if given.quick else 5)
    options = Options(given.rows, given.workers, given.mode, given.quick, repeat, given.data)
    names = list(CASES) if given.name == "all" else [given.name] if given.name else []
    return names, options, folder


def main() -> int:
    """Run what the command line asks for."""
    names, options, folder = parse()
    if not names:
        for name, question in [*CASES.items(), ("report", REPORT)]:
            print(f"{name:13} {question}")
        return 0
    try:
        if names == ["report"]:
            summary = importlib.import_module("benchmarks.summary")  # and with it matplotlib
            print(*summary.write(folder), sep="\n")
            return 0
        airline_data.check(options.data)
        folder.mkdir(parents=True, exist_ok=True)
    except (BadArgumentError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    worst = 0
    with kept_sessions() if options.quick else nullcontext():
        for name in names:
            try:
                tables = _run(name, options, folder)
            except (BadArgumentError, RayDPMLError) as error:
                print(f"benchmarks: {name}: {' '.join(str(error).split())}", file=sys.stderr)
                worst = 2
            except Exception:  # The other cases go on.
                traceback.print_exc()
                worst = worst or 1
            else:
                if any(INTERRUPTED in table.note for table in tables):
                    return 130
    return worst


def _run(name: str, options: Options, folder: Path) -> list[Table]:
    run = report.begin(name, options)
    tables, targets = importlib.import_module(f"benchmarks.{name}").measure(options)
    print(report.write(report.finish(run, tables, targets), folder), flush=True)
    return tables


if __name__ == "__main__":
    sys.exit(main())
