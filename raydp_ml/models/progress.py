"""Who is told of each round or epoch of a training: scikit-learn's callbacks, a progress bar."""

from __future__ import annotations

import inspect
from typing import Any

from raydp_ml.bars import Bar, shown


class Progress:
    """Tells scikit-learn's callbacks of each step of a fit, and a bar.

    Parameters
    ----------
    estimator : estimator with scikit-learn's ``CallbackSupportMixin``
    steps : int
        Most steps that there will be.
    step_name : str
        The name of such a step's task.
    unit : str
        The name of such a step beside a bar.
    X, y, metadata : object
        What ``fit`` was given.

    Attributes
    ----------
    steps : int
    listened : bool
        Whether anybody wants to hear of each step.
    shows_models : bool
        Whether a callback looks at the model of each step, which takes time to make.
    """

    def __init__(
        self,
        estimator: Any,
        steps: int,
        step_name: str,
        unit: str,
        X: Any,
        y: Any,
        metadata: Any,
    ) -> None:
        callbacks = getattr(estimator, "_skl_callbacks", [])
        self.steps = steps
        self._shows_bar = shown(callbacks)
        self.listened = bool(callbacks) or self._shows_bar
        hooks = [
            hook for item in callbacks for hook in (item.on_fit_task_begin, item.on_fit_task_end)
        ]
        self.shows_models = any(
            "fitted_estimator" in inspect.signature(hook).parameters for hook in hooks
        )
        self._step_name, self._unit = step_name, unit
        self._about = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context = estimator._init_callback_context(max_subtasks=steps)
        self._context.call_on_fit_task_begin(**self._about)
        self._done = 0
        self._bar: Bar

    def bar(self) -> Bar:
        """Return the bar that the next steps move, to be shown in a ``with`` block."""
        # Where the data is exported once more, its bar begins where the last one ended.
        name = type(self._about["estimator"]).__name__
        self._bar = Bar(name, self._unit, self.steps, self._done, show=self._shows_bar)
        return self._bar

    def step(self, attributes: dict[str, Any] | None) -> bool:
        """Tell of one step; True asks to stop."""
        if self._done == self.steps:
            # Data that was lost is trained on from the first step again.
            return False
        self._done += 1
        self._bar.step()
        step = self._context.subcontext(task_name=self._step_name)
        step.call_on_fit_task_begin(**self._about)
        return step.call_on_fit_task_end(**self._about, reconstruction_attributes=attributes)

    def end(self) -> None:
        """Tell that the estimator is fitted."""
        self._context.call_on_fit_task_end(**self._about, reconstruction_attributes={})
