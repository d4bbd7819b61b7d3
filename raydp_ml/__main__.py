"""``python -m raydp_ml doctor``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence

from raydp_ml.diagnosis.checks import SECONDS, make_checks
from raydp_ml.diagnosis.report import Diagnosis


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that was asked for; return the exit status.

    0: nothing failed (there may be warnings), 1: something did, 2: the arguments are wrong.
    """
    options = _parser().parse_args(arguments)
    found = []
    for check in make_checks(quick=options.quick, timeout=options.timeout):
        found.append(check)
        if not options.json:
            print(check, flush=True)  # as they come: the last ones take a while
    diagnosis = Diagnosis(tuple(found))
    print(json.dumps(diagnosis.to_dict(), indent=2) if options.json else diagnosis.summary())
    return 0 if diagnosis.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m raydp_ml", description="raydp_ml's commands")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="look for what keeps raydp_ml from working here",
        description="Look for what keeps raydp_ml from working here, and say what to do about it. "
        "Exit status: 0 if nothing failed, 1 if something did, 2 for wrong arguments.",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON, at the end")
    doctor.add_argument("--quick", action="store_true", help="leave the round trip out")
    doctor.add_argument(
        "--timeout",
        type=_seconds,
        default=SECONDS,
        metavar="SECONDS",
        help=f"for the round trip (default {SECONDS:g})",
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
