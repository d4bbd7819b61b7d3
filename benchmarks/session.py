"""How long does a session take to start: plain pyspark, raydp_ml in each mode, and RayDP?

A start ends when all executors have registered. It is cold in a fresh Python process, and warm a
second time in that process, after a stop. Modules are imported, and Ray is started and has come to
rest, before either begins; both are timed apart. Plain pyspark and RayDP keep the driver's JVM when
they stop, and start again within it; raydp_ml ends it. So plain pyspark is measured both ways.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from benchmarks import raydp_peer
from benchmarks.harness import Measured, Table, Target, turns
from benchmarks.options import Options
from benchmarks.processes import Usage
from raydp_ml.session.class_path import class_archive
from raydp_ml.session.java import find_java
from raydp_ml.session.launch import spark_home

ROOT = Path(__file__).parent.parent
PLAIN, JVM, RAYDP = "plain pyspark", "one JVM", f"RayDP {raydp_peer.VERSION}"
PLAIN_ENDING = f"{PLAIN}, ending its JVM"
NATIVE, NO_ARCHIVE = "raydp_ml native", "raydp_ml native, no class archive"
QUICK_KINDS = (PLAIN, PLAIN_ENDING, JVM, NATIVE, RAYDP)
_START_SECONDS = 600
# The archive is made while a session lives, in CPU time that nobody else wants.
_MAKE_ARCHIVE = """
import raydp_ml
from raydp_ml.session import lifecycle
raydp_ml.init_spark("class archive")
lifecycle._archive.wait(600)
"""

Record = dict[str, Any]
Start = Callable[[], Record]


def measure(options: Options) -> tuple[list[Table], list[Target]]:
    """Start every kind in turn, each time in a process of its own."""
    archive = ensure_class_archive()
    with TemporaryDirectory(prefix="raydp_ml-benchmark-") as folder:
        starts = _starts(options, Path(folder))
        # Not counted: it brings files into memory, and shows who cannot run at all.
        first = {name: starts[name]() for name in turns([*starts], 1, "first starts")}
        seen: dict[str, list[Record]] = {name: [] for name in starts}
        able = [name for name in starts if "error" not in first[name]]
        if options.quick:  # they are all that a test needs
            for name in able:
                seen[name].append(first[name])
        else:
            for name in turns(able, options.repeat, "start of a session"):
                seen[name].append(starts[name]())
    for name in set(starts) - set(able):
        seen[name].append(first[name])
    note = (
        f"To {options.workers} registered executors of 1 core; {PLAIN} is local[{options.workers}]"
        " without Ray. The archive of classes that raydp_ml makes once per machine was "
        f"{'there' if archive else 'NOT there'}."
    )
    cold = Table("Cold: in a fresh process", rows_of(seen, first, "cold"), note)
    warm = Table("Warm: again, after a stop", rows_of(seen, first, "warm"), note)
    return [cold, warm], targets_of(cold, warm)


def ensure_class_archive() -> bool:
    """Have raydp_ml make its archive of classes now; returns whether there is one."""
    if class_archive() is None:
        print("making the archive of classes", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-c", _MAKE_ARCHIVE], cwd=ROOT, check=True)
    return class_archive() is not None


def _starts(options: Options, folder: Path) -> dict[str, Start]:
    def ours(kind: str, **environment: str) -> Start:
        return lambda: _start(kind, options, folder, sys.executable, environment)

    def plain_ending_its_jvm() -> Record:
        record = ours("plain, ending its JVM")()
        record.pop("cold", None)  # which is that of plain pyspark
        return record

    def without_archive() -> Record:
        # A folder for each: a session fills it.
        return ours("native", XDG_CACHE_HOME=mkdtemp(dir=folder))()

    starts = {
        PLAIN: ours("plain"),
        PLAIN_ENDING: plain_ending_its_jvm,
        JVM: _start_jvm,
        "raydp_ml local": ours("local"),
        "raydp_ml standalone": ours("standalone"),
        NATIVE: ours("native"),
        NO_ARCHIVE: without_archive,
        RAYDP: _raydp(options, folder),
    }
    return {name: starts[name] for name in QUICK_KINDS} if options.quick else starts


def _raydp(options: Options, folder: Path) -> Start:
    try:
        # A quick run uses the environment if there is one, and makes none.
        python = raydp_peer.python(make=not options.quick)
    except raydp_peer.PeerError as error:
        record = {"error": str(error)}
        return lambda: record
    return lambda: _start("raydp", options, folder, python, raydp_peer.ENVIRONMENT)


def _start(
    kind: str, options: Options, folder: Path, python: str, environment: Mapping[str, str]
) -> Record:
    """Run benchmarks/starter.py, and return what it wrote."""
    result, log = folder / "result.json", folder / "log"
    result.unlink(missing_ok=True)
    command = [python, "-m", "benchmarks.starter", kind, str(options.workers), str(result)]
    variables = {**os.environ, "PYSPARK_PYTHON": python, **environment}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=output, stderr=output, start_new_session=True
        )
    try:
        process.wait(_START_SECONDS)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {_START_SECONDS} s: {_last_lines(log)}"}
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not result.exists():
        return {"error": f"exit status {process.returncode}: {_last_lines(log)}"}
    return json.loads(result.read_text())


def _last_lines(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-3:]) or "no output"


def _start_jvm() -> Record:
    """One bare JVM with Spark's class path, which loads a few of its classes and ends."""
    spark = [find_java().executable, "-cp", f"{spark_home()}/jars/*"]
    command = [*spark, "org.apache.spark.deploy.SparkSubmit", "--version"]
    with Usage() as usage:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        return {"error": ended.stderr.strip()}
    return {"cold": usage.summary() | {"facts": {}}}


def rows_of(
    seen: Mapping[str, Sequence[Record]], first: Mapping[str, Record], part: str
) -> list[Measured]:
    """Put together what was seen of the cold (warm) starts, by name."""
    rows = []
    for name, records in seen.items():
        starts = [record[part] for record in records if part in record]
        errors = [r["error"] for r in records if "error" in r and part not in r]
        if starts or errors:  # a bare JVM has no warm start
            row = Measured(name, error=errors[-1] if errors else None)
            row.warm_up_s = [first[name][part]["seconds"]] if part in first[name] else []
            for start in starts:
                row.add(**{key: start[key] for key in ("seconds", "cpu_s", "other_cpu_s")})
            row.facts = _typical([start["facts"] for start in starts])
            rows.append(row)
    return rows


def _typical(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median of each number, and all values of anything else."""
    typical: dict[str, Any] = {}
    for name in dict.fromkeys(name for each in facts for name in each):
        values = [each[name] for each in facts if name in each]
        if isinstance(values[0], str):
            typical[name] = ", ".join(dict.fromkeys(values))
        else:
            typical[name] = statistics.median(values)
    return typical


def targets_of(cold: Table, warm: Table) -> list[Target]:
    """What the project has set itself; without a value where somebody could not run."""
    jvm = cold.median(JVM)

    def beside(word: str, table: Table, name: str) -> Target:
        plain, native = table.median(name), table.median(NATIVE)
        value = (native - jvm) / plain if native and jvm and plain else None
        return Target(f"{word}: native, less one JVM, takes of {name}", value, 1.3)

    def faster(word: str, table: Table) -> Target:
        native, raydp = table.median(NATIVE), table.median(RAYDP)
        value = raydp / native if native and raydp else None
        return Target(f"{word}: native is times as fast as RayDP", value, 1.5, at_least=True)

    return [
        beside("cold", cold, PLAIN),
        beside("warm", warm, PLAIN),
        beside("warm", warm, PLAIN_ENDING),
        faster("cold", cold),
        faster("warm", warm),
    ]
