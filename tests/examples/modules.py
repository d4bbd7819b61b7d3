"""The examples as modules, for tests of their steps and of their errors; and their notebooks."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import raydp_ml
from tests.fresh_folder import EXAMPLES

# 6,433 of New York's trips of March 2019; a file that is not part of this repository.
REAL_TRIPS = Path(
    os.environ.get("RAYDP_ML_TAXI_TRIPS")
    or EXAMPLES.parent.parent / "shared" / "data" / "nyc_taxi_trips.csv"
)


def write_challenge(tables, folder, **options):
    """Write observations and metadata, of pandas, as the files of the PLAsTiCC challenge."""
    for table, name in zip(tables, ("training_set", "training_set_metadata"), strict=True):
        table.to_csv(folder / f"{name}.csv", index=False, **options)


def import_example(name):
    """Import ``examples/NAME.py``."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


def run_main(name, *arguments, cwd, spark=None):
    """Run what ``examples/NAME.py`` runs as a program, in this process: it takes no start.

    Parameters
    ----------
    name, *arguments : str
    cwd : Path
    spark : SparkSession, optional
        What its session is to be; without it, the example must end before it starts one. Its
        files must be named with their folders: the JVM stays where it was started.
    """
    module = import_example(name)
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setattr(sys, "argv", [f"{name}.py", *arguments])
        patch.setattr(raydp_ml, "spark_session", lambda *_, **__: contextlib.nullcontext(spark))
        try:
            module.main()
            status = 0
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(arguments, status, stdout.getvalue(), stderr.getvalue())


def execute_notebook(name, folder):
    """Execute ``examples/NAME.ipynb`` as it stands, and return it with its new outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES)}
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook


def printed(notebook):
    """What a notebook's cells print."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output["text"] for output in outputs if output.output_type == "stream")


def pictures(notebook):
    """How many PNG pictures a notebook shows."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)
