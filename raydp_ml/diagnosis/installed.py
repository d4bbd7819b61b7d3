"""What is installed: libraries, Java, our jar."""

from __future__ import annotations

import platform
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

from raydp_ml.diagnosis.report import Check, failure, ok, warning
from raydp_ml.exceptions import SessionError

_PACKAGE = "raydp_ml"
# Distribution -> what is missing without it; the others are needed.
_OPTIONAL = {"xgboost": "raydp_ml.xgboost", "torch": "raydp_ml.torch"}
# Either of these is the module of the first name.
_ALSO = {"xgboost": "xgboost-cpu"}
LIBRARIES = (
    "pyspark",
    "ray",
    "scikit-learn",
    "pyarrow",
    "pandas",
    "numpy",
    "cryptography",
    *_OPTIONAL,
)

_VECTOR = "jdk.incubator.vector"
_CLASS = "ml/raydp/exchange/BlockExport.class"
_INSTALL = "`pip install .` in raydp_ml's source folder, with a JDK 17 or newer on PATH"


def python() -> Check:
    """Look at the version of Python."""
    version = platform.python_version()
    try:
        wanted = metadata.metadata(_PACKAGE)["Requires-Python"]
    except metadata.PackageNotFoundError:
        return warning(
            f"{version}; raydp_ml itself is not installed, so what it supports is not known here",
            f"Install it rather than put it on PYTHONPATH: {_INSTALL}.",
        )
    return _judged("Python", version, wanted or "")


def library(name: str) -> Check:
    """Look for a library, and at its version."""
    version = _version(name)
    wanted = _specifier(name)
    if version is None:
        missing = _OPTIONAL.get(name)
        if missing is None:
            return failure("not installed", f"pip install '{name}{wanted}'")
        if name == "torch":
            return ok(f"not installed; {missing} alone needs it")
        return warning(
            f"not installed; {missing} needs it",
            f"pip install '{_PACKAGE}[{name}]', or xgboost itself on a machine with GPUs",
        )
    check = _judged(name, version, wanted)
    if name == "pyspark" and check.status == "ok":
        return _mixed_spark(version) or check
    return check


def _version(name: str) -> str | None:
    for distribution in (name, _ALSO.get(name, name)):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _specifier(name: str) -> str:
    """Return the versions that raydp_ml declares, as ``>=1.9``; empty where it declares none."""
    try:
        declared = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return ""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ""

    names = {name, _ALSO.get(name, name)}
    found = {str(r.specifier) for r in map(Requirement, declared) if r.name in names}
    return min(found, key=len, default="")


def _judged(name: str, version: str, wanted: str) -> Check:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # where nothing is installed; what is missing is said of the others
        return ok(version)
    if not wanted:
        return ok(version)
    if SpecifierSet(wanted).contains(version, prereleases=True):
        return ok(f"{version} ({wanted})")
    remedy = (
        f"Make an environment with Python {wanted}."
        if name == "Python"
        else f"pip install '{name}{wanted}'"
    )
    return failure(f"{version}, and raydp_ml needs {wanted}", remedy)


def _mixed_spark(version: str) -> Check | None:
    """Tell of a pyspark whose jars are another Spark's: two installations over each other."""
    from raydp_ml.session.launch import spark_home

    jars = sorted(path.stem for path in Path(spark_home(), "jars").glob("spark-core_*.jar"))
    found = [name.rpartition("-")[2] for name in jars]
    if found == [version]:
        return None
    return failure(
        f"{version}, but the jars of {spark_home()} are of Spark {found or 'no version'}",
        "pip uninstall pyspark until it says that there is none, and install it again.",
    )


def java() -> Check:
    """Look for the Java that Spark will use, and at what it must have."""
    from raydp_ml.session.java import REMEDY, check_java_of_ray, find_java

    try:
        found = find_java()
    except SessionError as error:
        return failure(str(error).removesuffix(REMEDY).strip(), REMEDY)
    where = f"{found.version}, {found.executable} ({'JAVA_HOME' if found.home else 'PATH'})"
    if not _has_vector_module(found.executable):
        return failure(
            f"{where}, without the module {_VECTOR}, with which Spark starts",
            f"This runtime was reduced; take a whole one. {REMEDY}",
        )
    try:
        check_java_of_ray()
    except SessionError as error:
        return warning(f"{where}; mode='native' will not start: {error}", "Mend PATH as it says.")
    return ok(where)


def _has_vector_module(executable: str) -> bool:
    from raydp_ml.session.java import ask_java

    try:
        listed = ask_java(executable, "--list-modules")
    except (OSError, subprocess.TimeoutExpired):
        return False
    return any(line.startswith(f"{_VECTOR}@") for line in listed.stdout.splitlines())


def jar() -> Check:
    """Look for our jar, and whether it is one."""
    from raydp_ml.session.class_path import JAR

    if not JAR.exists():
        return failure(f"{JAR} is missing", f"Build it: {_INSTALL}; a built wheel has it.")
    try:
        classes = zipfile.ZipFile(JAR).namelist()
    except (OSError, zipfile.BadZipFile) as error:
        return failure(f"{JAR} cannot be read: {error}", f"Build it anew: {_INSTALL}.")
    if _CLASS not in classes:
        return failure(f"{JAR} is not raydp_ml's: it lacks {_CLASS}", f"Build it: {_INSTALL}.")
    return ok(f"{JAR} ({len(classes)} files)")
