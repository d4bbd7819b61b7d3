"""Progress bars: nothing unless a person types or the program asks, and none is left behind."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.callback import ProgressBar

import raydp_ml
from raydp_ml import bars
from raydp_ml.bars import Bar, progress_bars, shown
from raydp_ml.xgboost import XGBRegressor

rng = np.random.default_rng(0)
X, Y = rng.random((200, 3)), rng.random(200)


def states(text):
    """What a terminal showed, one after the other."""
    return [line.strip() for line in re.split(r"[\r\n]|\x1b\[A", text) if line.strip()]


def threads():
    return [thread for thread in threading.enumerate() if "_tick" in thread.name]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_script_shows_none_even_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert not shown()


@pytest.mark.parametrize("terminal", [True, False])
def test_pythons_prompt_shows_them_on_a_terminal(monkeypatch, terminal):
    monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert shown() == terminal
    with progress_bars(False):
        assert not shown()
    assert shown() == terminal


def test_a_choice_holds_until_its_end():
    assert not shown()
    with progress_bars(True):
        assert shown()
        assert not shown([ProgressBar()])  # which shows a bar of its own
        progress_bars(False)
        assert not shown()
    assert not shown()


def test_what_is_chosen_is_true_false_or_none():
    with pytest.raises(TypeError, match=r"takes True, False or None\. Got 'yes' instead"):
        progress_bars("yes")


def test_without_tqdm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert not shown()
    with pytest.raises(ImportError, match=r"pip install 'raydp_ml\[progress\]'"):
        progress_bars(True)
    assert not shown()


def test_a_bar_counts_steps_tells_times_and_goes(at_once, capsys):
    with Bar("work", "steps", 4) as bar:
        for _ in range(2):
            bar.step()
        bar.expect(8)
        bar.step()
    out, err = capsys.readouterr()
    assert out == ""
    seen = states(err)
    assert seen[0].startswith("work:   0%|")
    assert re.search(r"0/4 \[00:00<\?, \? steps/s\]", seen[0])
    assert err.endswith("\r")  # it is wiped out
    assert re.split(r"\r", err)[-2].isspace()
    assert threads() == []


def test_a_bar_may_look_for_itself(at_once, capsys):
    looked = threading.Event()
    answers = iter([None, (3, 12), (12, 12)])

    def look():
        found = next(answers, (12, 12))
        if found == (12, 12):
            looked.set()
        return found

    with Bar("tasks", "tasks", look=look):
        assert looked.wait(60)
    assert any("3/12" in state for state in states(capsys.readouterr().err))
    assert threads() == []


def test_work_that_ends_before_the_delay_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(bars, "_DELAY_SECONDS", 600)  # how quick this machine is does not matter
    with progress_bars(True):
        XGBRegressor(n_estimators=2, num_workers=0).fit(X[:20], Y[:20])
    assert capsys.readouterr() == ("", "")


def test_a_fit_shows_its_rounds_and_learns_the_same(at_once, capsys):
    model = XGBRegressor(n_estimators=30, num_workers=0)
    quiet = model.fit(X, Y).predict(X)
    assert capsys.readouterr() == ("", "")
    with progress_bars(True):
        shown_too = model.fit(X, Y).predict(X)
    assert_array_equal(quiet, shown_too)
    seen = states(capsys.readouterr().err)
    assert all(state.startswith("XGBRegressor: ") for state in seen)
    assert "0/30" in seen[0]
    assert threads() == []


def test_a_fit_in_a_thread_shows_them_too(at_once, capsys):
    with progress_bars(True):
        fit = threading.Thread(target=XGBRegressor(n_estimators=3, num_workers=0).fit, args=(X, Y))
        fit.start()
        fit.join()
    assert "XGBRegressor: " in capsys.readouterr().err
    assert threads() == []


class Fails:
    """A metric that raises after some rounds."""

    __name__ = "fails"

    def __init__(self, error):
        self.error, self.rounds = error, 0

    def __call__(self, y_true, y_pred):
        self.rounds += 1
        if self.rounds > 3:
            raise self.error
        return 0.0


@pytest.mark.parametrize("error", [ZeroDivisionError("own"), KeyboardInterrupt()])
def test_an_error_or_ctrl_c_ends_the_bar(at_once, capsys, error):
    model = XGBRegressor(n_estimators=30, num_workers=0, eval_metric=Fails(error))
    with progress_bars(True), pytest.raises(type(error)):
        model.fit(X, Y, eval_set=[(X, Y)])
    err = capsys.readouterr().err
    assert re.split(r"\r", err)[-2].isspace()
    assert threads() == []
    from tqdm.std import tqdm

    assert not tqdm._instances


PROGRAM = """
import numpy as np
from raydp_ml.xgboost import XGBRegressor
import raydp_ml.bars
raydp_ml.bars._DELAY_SECONDS = 0.0
rng = np.random.default_rng(0)
model = XGBRegressor(n_estimators=5, num_workers=0)
print(model.fit(rng.random((50, 2)), rng.random(50)).n_features_in_)
"""


def in_terminal(arguments, typed=""):
    """Run Python in a pseudo-terminal; what that showed."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    program = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=theirs if typed else subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"},
    )
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    text = b""
    try:
        while part := os.read(ours, 1 << 16):
            text += part
    except OSError:  # the other side has ended
        pass
    assert program.wait(60) == 0
    os.close(ours)
    return text.decode()


@pytest.mark.cluster
def test_a_program_in_a_terminal_shows_its_lines_and_nothing_else():
    assert in_terminal(["-c", PROGRAM]).split() == ["2"]


@pytest.mark.cluster
def test_the_prompt_of_a_terminal_shows_a_bar(tmp_path):
    program = tmp_path / "typed.py"
    program.write_text(PROGRAM)
    seen = in_terminal(["-q"], f"exec(open({str(program)!r}).read())\nexit()\n")
    assert "XGBRegressor:   0%|" in seen


@pytest.mark.cluster
def test_a_notebook_shows_a_bar(tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    cell = nbformat.v4.new_code_cell(PROGRAM)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=300).execute()
    printed = [of for of in cell.outputs if of.output_type == "stream"]
    assert {of.name for of in printed} == {"stdout"}  # nothing that looks like an error
    text = "".join(of.text for of in printed)
    if find_spec("ipywidgets") is None:
        assert "XGBRegressor:   0%|" in text
    else:
        widgets = [of for of in cell.outputs if of.output_type == "display_data"]
        assert any("application/vnd.jupyter.widget-view+json" in of.data for of in widgets)
        assert text == "2\n"


def test_it_is_public():
    assert raydp_ml.progress_bars is progress_bars
