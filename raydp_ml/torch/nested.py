"""Parameters of the form ``module__size``, which go to what they are named after."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError

PREFIXES = ("module", "optimizer", "criterion", "lr_scheduler")


class NestedParameters(BaseEstimator):
    """Takes, keeps and returns nested parameters as scikit-learn does its own."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # Those who inspect the class, as scikit-learn's checks do, see the parameters with names:
        # there is none called as the collection of the nested ones.
        own = inspect.signature(cls.__init__)
        shown = [
            item
            for item in own.parameters.values()
            if item.name != "self" and item.kind is not item.VAR_KEYWORD
        ]
        cls.__signature__ = own.replace(parameters=shown)

    def _store_nested(self, given: Mapping[str, object]) -> None:
        for name, value in given.items():
            if _prefix(name) is None:
                known = [*self._get_param_names(), *(f"{prefix}__..." for prefix in PREFIXES)]
                raise TypeError(
                    f"{type(self).__name__} got an unexpected parameter {name!r}. "
                    f"{_nearest(name, known)}"
                )
            setattr(self, name, value)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, nested ones among them.

        Parameters
        ----------
        deep : bool, default=True
            As in scikit-learn.

        Returns
        -------
        dict of str to object
        """
        nested = {name: value for name, value in vars(self).items() if _prefix(name)}
        return {**super().get_params(deep), **nested}

    def set_params(self, **params: object) -> Self:
        """Set parameters, nested ones among them.

        Parameters
        ----------
        **params : object

        Returns
        -------
        estimator
            Itself.
        """
        nested = {name: value for name, value in params.items() if _prefix(name)}
        super().set_params(**{name: v for name, v in params.items() if name not in nested})
        self._store_nested(nested)
        return self

    def _nested(self, prefix: str) -> dict[str, Any]:
        """Return the parameters for one part, without the prefix."""
        start = f"{prefix}__"
        return {
            name.removeprefix(start): value
            for name, value in vars(self).items()
            if name.startswith(start)
        }


def _prefix(name: str) -> str | None:
    first, separator, rest = name.partition("__")
    return first if separator and rest and first in PREFIXES else None


def check_arguments(
    called: Callable[..., object], given: Mapping[str, object], prefix: str
) -> None:
    """Raise for arguments that a class or function does not take, naming the nearest.

    Parameters
    ----------
    called : callable
    given : dict of str to object
    prefix : str
        What the parameters begin with.

    Raises
    ------
    InvalidParameterError
    """
    try:
        parameters = inspect.signature(called).parameters.values()
    except (TypeError, ValueError):
        return
    if any(item.kind is item.VAR_KEYWORD for item in parameters):
        return
    known = [item.name for item in parameters if item.kind is not item.VAR_POSITIONAL]
    for name in given:
        if name not in known:
            shown = getattr(called, "__name__", type(called).__name__)
            names = [f"{prefix}__{item}" for item in known]
            raise InvalidParameterError(
                f"There is no parameter {prefix + '__' + name!r}, since {shown} has no argument "
                f"{name!r}. {_nearest(f'{prefix}__{name}', names)}"
            )


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}There are: {sorted(known)}."
