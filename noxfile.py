"""The platforms of `docs/platforms.md`: an environment for each, and tests that tell them apart.

``nox`` lists them, ``nox -s "tests(spark40)"`` runs one. A release runs all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nox

nox.options.sessions = []
nox.options.reuse_existing_virtualenvs = True

# Each mode of Spark and each way through the JVM and through Python. The rest of the tests compares
# numbers, which do not depend on what differs between platforms.
TESTS = (
    "tests/exchange",
    "tests/jvm",
    "tests/preprocessing",
    "tests/session/test_local.py",
    "tests/session/test_native.py",
    "tests/session/test_standalone.py",
    "tests/torch/test_spark.py",
    "tests/xgboost/test_jvm_trees.py",
    "tests/xgboost/test_jvm_vectors.py",
    "tests/xgboost/test_spark.py",
)


@dataclass(frozen=True)
class Platform:
    """A Python, and the versions that differ from those of `constraints.txt`."""

    python: str
    versions: tuple[str, ...]


PLATFORMS = {
    "spark40": Platform("3.11", ("pyspark==4.0.5", "xgboost-cpu==3.1.3")),
    "spark41": Platform("3.12", ("pyspark==4.1.4",)),
    "spark42": Platform("3.13", ("pyspark==4.2.1",)),
    "newest": Platform("3.13", ("pyspark==4.3.0", "xgboost-cpu==3.4.1")),
}


def constraints(versions: tuple[str, ...], target: Path) -> Path:
    """Write `constraints.txt` with other versions of some packages to `target`."""
    replaced = {re.split("[=<>]", version)[0] for version in versions}
    lines = Path("constraints.txt").read_text().splitlines()
    kept = [line for line in lines if re.split("[=<>]", line)[0] not in replaced]
    target.write_text("\n".join([*kept, *versions]))
    return target


@nox.session
@nox.parametrize(
    ("python", "versions"),
    [(platform.python, platform.versions) for platform in PLATFORMS.values()],
    ids=list(PLATFORMS),
)
def tests(session: nox.Session, versions: tuple[str, ...]) -> None:
    """Run the tests that platforms can differ in (or those that are named after ``--``)."""
    file = constraints(versions, Path(session.create_tmp()) / "constraints.txt")
    session.install("-c", str(file), "-e", ".[all]")
    pytest = ("python", "-m", "pytest", "-m", "", "-n", "2", "--dist", "worksteal")
    # nox's own temporary folder is within the environment, where Ray refuses to work.
    session.run(*pytest, *session.posargs or TESTS, env={"TMPDIR": None})
