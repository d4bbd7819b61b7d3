"""A process that loads folders, one after the other, and says what came of each.

It reads a folder's path from a line of its input, and writes a line of JSON: the class and the
text of the error of ``load`` and of the first use, the memory that they took beyond what there was,
in bytes, and what was done that no load may do. A crash ends it, which its reader sees.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

import raydp_ml
from tests.peak_memory import Peak

# Events of Python's that no load raises: code, programs, sockets, files that are changed.
NEVER = {
    "os.chmod", "os.exec", "os.fork", "os.forkpty", "os.link", "os.mkdir", "os.posix_spawn",
    "os.putenv", "os.remove", "os.rename", "os.rmdir", "os.spawn", "os.symlink", "os.system",
    "os.truncate", "pickle.find_class", "shutil.rmtree", "socket.connect", "socket.getaddrinfo",
    "subprocess.Popen", "urllib.Request",
}  # fmt: skip
LIBRARIES = (sys.prefix, sys.base_prefix, str(Path(raydp_ml.__file__).parent), "<")
ROWS = 3
done: list[str] = []
watching = threading.local()


def hook(event, arguments):
    if not getattr(watching, "on", False):
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
    code = getattr(arguments[0], "co_filename", "<") if event == "exec" else "<"
    if event in NEVER or writes or not code.startswith(LIBRARIES):
        done.append(f"{event} {arguments!r}"[:200])


def rows_for(estimator):
    """A few rows of the columns that an estimator asks for, of values that it knows."""
    if hasattr(estimator, "vocabulary_"):
        return ["up down", "mid", ""]
    layout = getattr(estimator, "_layout", None)
    names = getattr(estimator, "feature_names_in_", None)
    width = int(getattr(estimator, "n_features_in_", 2))
    if width > 1000:
        return None
    if names is None:
        return np.linspace(-2, 2, ROWS * width).reshape(ROWS, width)
    words = {feature.name for feature in getattr(layout, "features", ()) if feature.categories}
    words |= {"c"}
    return pd.DataFrame({
        name: pd.Categorical(["up", "mid", "down"]) if name in words and layout is not None
        else ["up", "mid", "down"] if name in words else np.linspace(-2, 2, ROWS)
        for name in names
    })  # fmt: skip


def use(estimator):
    rows = rows_for(estimator)
    if rows is None:
        return
    for name in ("transform", "predict", "predict_proba", "explain", "apply"):
        if hasattr(estimator, name):
            made = getattr(estimator, name)(rows)
            if scipy.sparse.issparse(made):
                made.toarray()
    repr(estimator)


def of(error):
    """Class, text, and whether memory ran out, of an error and those behind it."""
    behind, ran_out = error, False
    while behind is not None:
        ran_out |= isinstance(behind, MemoryError) or "bad_alloc" in str(behind)
        behind = behind.__cause__ or behind.__context__
    classes = [cls.__name__ for cls in type(error).__mro__]
    return {"classes": classes, "text": str(error)[:4000], "ran_out": ran_out}


def tried(path):
    made = {"load": None, "use": None, "name": None}
    try:
        estimator = raydp_ml.load(path)
        made["name"] = type(estimator).__name__
    except Exception as error:
        made["load"] = of(error)
        return made
    try:
        use(estimator)
    except Exception as error:
        made["use"] = of(error)
    return made


def main():
    warnings.simplefilter("ignore")
    sys.addaudithook(hook)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        path = line.rstrip("\n")
        done.clear()
        peak = Peak()
        watching.on = True
        made = tried(path)
        watching.on = False
        made |= {"bytes": peak.rise(), "done": done[:5]}
        made["children"] = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        answers.write(json.dumps(made) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
