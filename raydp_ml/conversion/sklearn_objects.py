"""`to_sklearn`: scikit-learn's and xgboost's own objects in the place of raydp_ml's."""

from __future__ import annotations

import io
import pickle
from inspect import signature
from types import FunctionType
from typing import Any

import sklearn

__all__ = ["to_sklearn"]


def to_sklearn(estimator: Any) -> Any:
    """Return the same estimator as an object of scikit-learn's own, fitted or not.

    Whatever raydp_ml object is in it (steps of Pipelines, what meta-estimators and searches hold,
    splitters) becomes one of the class that it subclasses, with the same parameters and fitted
    attributes; boosters become xgboost's own objects. The result knows data in memory only, and is
    unpickled where there is no raydp_ml.

    Parameters
    ----------
    estimator : estimator or transformer of raydp_ml, or scikit-learn's around such
        What to convert, fitted or not.

    Returns
    -------
    estimator
        A copy. `XGBClassifier` whose classes are not 0, 1, ... becomes a
        `sklearn.ensemble.VotingClassifier` of one, since xgboost's own class knows no other labels.

    Raises
    ------
    TypeError
        For what has no counterpart: networks (see their ``to_torch``), SQL, ``pyspark.ml`` stages,
        `OptunaSearchCV` (take its ``best_estimator_``), and functions and classes of raydp_ml.

    Notes
    -----
    To what was fitted on a Spark DataFrame, data in memory is what it would be in Spark: numbers of
    single precision are computed with in double precision, and None and NaN are one missing value.
    scikit-learn's own object has scikit-learn's rules. Names of outputs that Spark could not tell
    apart are scikit-learn's again. `to_xgboost` says what xgboost's objects make of sparse
    matrices and categories.

    Examples
    --------
    >>> import raydp_ml
    >>> from raydp_ml.preprocessing import StandardScaler
    >>> plain = raydp_ml.to_sklearn(StandardScaler().fit([[1.0], [3.0]]))
    >>> type(plain).__module__, plain.mean_
    ('sklearn.preprocessing._data', array([2.]))
    """
    many = isinstance(estimator, (list, tuple, dict))
    is_one = hasattr(estimator, "fit") or hasattr(estimator, "split")
    if isinstance(estimator, type) or not (many or is_one):
        raise TypeError(f"{estimator!r} is not an estimator instance.")
    # Pickling meets every object, wherever it is held.
    buffer = io.BytesIO()
    writer = _Writer(buffer, protocol=5)
    writer.dump(estimator)
    buffer.seek(0)
    return _Reader(buffer, writer.kept).load()


class _Writer(pickle.Pickler):
    """Writes objects of raydp_ml as those of the classes that they subclass.

    Attributes
    ----------
    kept : list of object
        What the copy holds as it is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kept: list[Any] = []
        self._places: dict[int, int] = {}
        self._sources: list[Any] = []  # which must outlive their ids

    def persistent_id(self, value: Any) -> int | None:
        """Return the place of what is kept as it is, or has made its counterpart itself."""
        if isinstance(value, (FunctionType, type)):
            if _is_ours(value):
                raise TypeError(
                    f"{value.__module__}.{value.__qualname__} is code of raydp_ml, which no object "
                    "of scikit-learn's own can hold. Replace it by a function of your own."
                )
            counterpart = value
        elif _is_ours(type(value)) and hasattr(value, "_genuine_object"):
            if id(value) in self._places:
                return self._places[id(value)]
            counterpart = value._genuine_object()
        else:
            return None
        self._sources.append(value)
        self.kept.append(counterpart)
        return self._places.setdefault(id(value), len(self.kept) - 1)

    def reducer_override(self, value: Any) -> Any:
        """Say how to make the counterpart of an object of raydp_ml."""
        if not _is_ours(type(value)):
            return NotImplemented
        parent = _counterpart(type(value))
        # (copyreg.__newobj__ insists on the class of the value.)
        return object.__new__, (parent,), _state(value, parent)


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, kept: list[Any]) -> None:
        super().__init__(file)
        self._kept = kept

    def persistent_load(self, place: int) -> Any:
        """Return what was kept."""
        return self._kept[place]


def _is_ours(item: type | FunctionType) -> bool:
    return str(item.__module__).partition(".")[0] == "raydp_ml"


def _counterpart(cls: type) -> type:
    """Return the class of scikit-learn's that one of ours subclasses and is called after."""
    for base in cls.__mro__:
        if not _is_ours(base) and base.__name__ == cls.__name__:
            return base
    raise TypeError(
        f"There is no object of scikit-learn's own that is a {cls.__name__}. Take it out of what "
        "is converted (of a search, convert best_estimator_), or keep it by raydp_ml.save."
    )


def _state(value: Any, parent: type) -> dict[str, Any]:
    """Return parameters and fitted attributes, without those that only ours has."""
    ours = [base for base in type(value).__mro__ if _is_ours(base)]
    declared = {
        name for base in ours for name in (*vars(base), *vars(base).get("__annotations__", {}))
    }
    own = {name for name in declared if name.startswith("_") and not hasattr(parent, name)}
    own |= signature(type(value)).parameters.keys() - signature(parent).parameters.keys()
    held = value._genuine_state() if hasattr(value, "_genuine_state") else vars(value)
    state = {name: attribute for name, attribute in held.items() if name not in own}
    if hasattr(parent, "__setstate__"):
        # As scikit-learn's own __getstate__ has it.
        state["_sklearn_version"] = sklearn.__version__
    return state
