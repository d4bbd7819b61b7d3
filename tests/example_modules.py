"""The examples as modules, for tests that look into their steps; and their notebooks."""

from __future__ import annotations

import importlib
import os
import sys

from tests.fresh_folder import EXAMPLES


def import_example(name):
    """Import ``examples/NAME.py``; Ray's workers find what it defines, too."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    return importlib.import_module(name)


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
