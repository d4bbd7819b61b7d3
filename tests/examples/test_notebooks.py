"""The examples' notebooks run, and the output that is kept in them is whole."""

from __future__ import annotations

import shutil

import nbformat
import pytest

from tests.fresh_folder import EXAMPLES, run_python

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
# What comes after the cell that is tagged `parameters`, for a run of a few seconds. The others are
# small as they stand, and their examples' own tests run them and look at the scores.
SMALL = {
    "quickstart": "rows = 5_000",
    "hyperparameters": "rows, trees = 4_000, 10",
    "batch_inference": "every, rounds = 50, 10",
    "native_cluster": "nodes, rows = 2, 5_000",
    "ray_ecosystem": "rows = 3_000",
    "flight_delays": "every, rounds = 25, 10",
    "model_report": "rows, rounds = 10_000, 10",
}
EXECUTE = "from nbclient.cli import main; main()"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_parameters(cell):
    return "parameters" in cell.metadata.get("tags", [])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_output_is_kept(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum(map(is_parameters, cells)) == (path.stem in SMALL)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.stem in SMALL], ids=lambda path: path.stem
)
def test_a_notebook_runs(path, tmp_path, tmp_path_factory, monkeypatch):
    notebook = nbformat.read(path, as_version=4)
    after = next(i for i, cell in enumerate(notebook.cells) if is_parameters(cell)) + 1
    notebook.cells.insert(after, nbformat.v4.new_code_cell(SMALL[path.stem]))
    nbformat.write(notebook, tmp_path / path.name)
    for program in EXAMPLES.glob("*.py"):
        shutil.copy(program, tmp_path)
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp(name)))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    done = run_python("-c", EXECUTE, "--inplace", path.name, cwd=tmp_path, timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    for cell in code_cells(nbformat.read(tmp_path / path.name, as_version=4)):
        assert cell.execution_count
        assert not [output for output in cell.outputs if output.output_type == "error"]
