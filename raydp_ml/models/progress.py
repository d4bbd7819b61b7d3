"""scikit-learn's callbacks, told of each round or epoch of a training."""

from __future__ import annotations

import inspect
from typing import Any


class Progress:
    """Tells scikit-learn's callbacks of each step of a fit.

    Parameters
    ----------
    estimator : estimator with scikit-learn's ``CallbackSupportMixin``
    steps : int
        Most steps that there will be.
    step_name : str
        The name of such a step's task.
    X, y, metadata : object
        What ``fit`` was given.

    Attributes
    ----------
    steps : int
    listened : bool
        Whether there is any callback.
    shows_models : bool
        Whether a callback looks at the model of each step, which takes time to make.
    """

    def __init__(
        self, estimator: Any, steps: int, step_name: str, X: Any, y: Any, metadata: Any
    ) -> None:
        callbacks = getattr(estimator, "_skl_callbacks", [])
        self.steps = steps
        self.listened = bool(callbacks)
        hooks = [
            hook for item in callbacks for hook in (item.on_fit_task_begin, item.on_fit_task_end)
        ]
        self.shows_models = any(
            "fitted_estimator" in inspect.signature(hook).parameters for hook in hooks
        )
        self._step_name = step_name
        self._about = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context = estimator._init_callback_context(max_subtasks=steps)
        self._context.call_on_fit_task_begin(**self._about)
        self._done = 0

    def step(self, attributes: dict[str, Any] | None) -> bool:
        """Tell of one step; True asks to stop."""
        if self._done == self.steps:
            # Data that was lost is trained on from the first step again.
            return False
        self._done += 1
        step = self._context.subcontext(task_name=self._step_name)
        step.call_on_fit_task_begin(**self._about)
        return step.call_on_fit_task_end(**self._about, reconstruction_attributes=attributes)

    def end(self) -> None:
        """Tell that the estimator is fitted."""
        self._context.call_on_fit_task_end(**self._about, reconstruction_attributes={})
