"""Progress bars of exchanges, fits and searches: whether they are shown, and how.

By themselves they appear where a person types (a notebook, Python's or IPython's prompt) and
tqdm is installed. A program shows what it prints, unless it asks for them.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

_DELAY_SECONDS = 0.5
"""What ends sooner shows nothing."""

_TICK_SECONDS = 0.2
_JOIN_SECONDS = 2.0
"""A look may ask a JVM that does not answer any more."""

_chosen: bool | None = None


def progress_bars(show: bool | None) -> contextlib.AbstractContextManager[object]:
    """Show progress bars of exchanges, fits and searches, or do not.

    It takes effect at once, for the whole process; in a ``with`` statement, until its end. A bar
    tells the time that has passed and the time left, and goes when its work has ended. What takes
    less than half a second shows none.

    Parameters
    ----------
    show : bool or None
        True shows them in any program, on stderr. None, as it is at the start, shows them in a
        notebook and at the prompt of Python or IPython, where tqdm is installed; not in a program
        that is run as a script, whether its output goes to a terminal or to a file.

    Returns
    -------
    context manager

    Raises
    ------
    ImportError
        For True where tqdm is not installed.
    TypeError
        For anything but True, False and None.

    Notes
    -----
    It needs the extra ``[progress]``: tqdm, and ipywidgets for the bars of a notebook (without it
    they are text there). scikit-learn's own `sklearn.callback.ProgressBar`, given by
    ``set_callbacks``, is shown in their place.

    Examples
    --------
    >>> import raydp_ml
    >>> with raydp_ml.progress_bars(False):
    ...     model.fit(df, "y")  # doctest: +SKIP
    """
    global _chosen
    if show is not None and not isinstance(show, bool):
        raise TypeError(f"progress_bars takes True, False or None. Got {show!r} instead.")
    if show and not _installed():
        raise ImportError(
            "Progress bars need tqdm, which is not installed: pip install 'raydp_ml[progress]', or "
            "pip install tqdm."
        )
    before, _chosen = _chosen, show
    until_then = contextlib.ExitStack()
    until_then.callback(_choose, before)
    return until_then


def _choose(show: bool | None) -> None:
    global _chosen
    _chosen = show


def shown(callbacks: Any = ()) -> bool:
    """Whether a bar is to be shown now.

    Parameters
    ----------
    callbacks : iterable of object
        scikit-learn's, which may show a bar of their own.
    """
    wanted = (_in_notebook() or _at_prompt()) and _installed() if _chosen is None else _chosen
    if not wanted:
        return False
    from sklearn.callback import ProgressBar

    return not any(isinstance(callback, ProgressBar) for callback in callbacks)


def _installed() -> bool:
    return find_spec("tqdm") is not None


def _shell() -> Any:
    """Return IPython's shell, where this is one."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def _in_notebook() -> bool:
    shell = _shell()
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"


def _at_prompt() -> bool:
    typed = _shell() is not None or hasattr(sys, "ps1") or sys.flags.interactive
    return bool(typed and sys.stderr is not None and sys.stderr.isatty())


class Bar:
    """A bar of work that is done in steps, for the time of its ``with`` block.

    Parameters
    ----------
    what : str
        Such as ``"XGBRegressor"``.
    unit : str
        Of the steps.
    total : int
        Number of steps; 0 where that is not known yet.
    done : int, default=0
        Of them, those that were done before.
    look : callable, default=None
        Says how many steps are done, and of how many, where nobody tells of each; it is called now
        and then, in a thread of its own. None for not yet known.
    show : bool, default=True
        False makes one that is never seen, and that has no thread.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        total: int = 0,
        done: int = 0,
        *,
        look: Callable[[], tuple[int, int] | None] | None = None,
        show: bool = True,
    ) -> None:
        self._arguments = {"desc": what, "unit": f" {unit}", "total": total, "initial": done}
        self._look = look
        self._show = show
        self._bar: Any = None
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._ticker: threading.Thread

    def step(self) -> None:
        """Note that one more step is done."""
        if self._bar is not None:
            with self._changing:
                self._bar.update()

    def expect(self, total: int) -> None:
        """Note that there will be so many steps, if not more."""
        if self._bar is not None:
            with self._changing:
                self._set_total(max(self._bar.total, total))

    def _set_total(self, total: int) -> None:
        self._bar.total = total
        if hasattr(self._bar, "container"):  # tqdm leaves the end of a notebook's bar as it was
            self._bar.container.children[1].max = max(1, total)

    def _tick(self) -> None:
        """Show that time passes, also in a step that takes long."""
        while not self._ended.wait(_TICK_SECONDS):
            found = None if self._look is None else self._look()
            with self._changing:
                if self._bar is None:
                    return
                if found is not None:
                    self._set_total(found[1])
                    self._bar.n = found[0]
                self._bar.update(0)

    def __enter__(self) -> Self:
        if self._show:
            self._bar = _tqdm()(
                **self._arguments,
                leave=False,
                delay=_DELAY_SECONDS,
                miniters=0,
                dynamic_ncols=True,
                # A notebook shows what goes to stderr as if it were an error.
                file=sys.stdout if _in_notebook() else sys.stderr,
            )
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is None:
            return
        self._ended.set()
        with self._changing:
            if error is None:
                # It may have ended early, which a notebook's bar would show as a failure.
                self._bar.total = self._bar.n
            bar, self._bar = self._bar, None
            bar.close()
        self._ticker.join(_JOIN_SECONDS)


@functools.cache
def _tqdm() -> Any:
    """Return tqdm's class for where this is: a widget of a notebook, or text."""
    if _in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as chosen
    else:
        from tqdm.std import tqdm as chosen

    # Without the thread by which tqdm refreshes bars: ours have their own.
    return type("tqdm", (chosen,), {"monitor_interval": 0})
