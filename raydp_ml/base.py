"""What every estimator and transformer shares: which kind of X it has, and its fitted names.

The kinds are told apart by the names of classes, so that none of pyspark, ray, polars is
imported for data that does not need it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from sklearn.utils import _param_validation, multiclass, validation

from raydp_ml.documentation import Documented
from raydp_ml.exceptions import SchemaError

if TYPE_CHECKING:
    import onnx
    import pandas as pd
    from pyspark.sql import DataFrame
    from sklearn.base import BaseEstimator
    from typing_extensions import TypeIs

    from raydp_ml.exchange.data_kinds import Data

__all__ = ["SparkEstimator", "is_spark", "kind_of"]


def kind_of(X: object) -> str:
    """Say which kind of data `X` is.

    Parameters
    ----------
    X : object

    Returns
    -------
    {"spark", "blocks", "ray", "arrow", "polars", "pandas", "array"}
        "array" is everything that scikit-learn turns into an array or a sparse matrix.

    Raises
    ------
    TypeError
        For a pandas-on-Spark frame, which has no row order to keep.
    """
    for cls in type(X).__mro__:
        module, name = cls.__module__, cls.__name__
        root = module.split(".")[0]
        if root == "pyspark":
            if module.startswith("pyspark.pandas"):
                raise TypeError(
                    "A pandas-on-Spark frame is not supported. Pass the Spark DataFrame: "
                    "X.to_spark()."
                )
            if name == "DataFrame":
                return "spark"
        elif root == "raydp_ml" and name == "Blocks":
            return "blocks"
        elif module.startswith("ray.data") and name in {"Dataset", "MaterializedDataset"}:
            return "ray"
        elif root == "pyarrow" and name in {"Table", "RecordBatch"}:
            return "arrow"
        elif root == "polars" and name in {"DataFrame", "LazyFrame"}:
            return "polars"
        elif root == "pandas" and name == "DataFrame":
            return "pandas"
    return "array"


def is_spark(X: object) -> TypeIs[DataFrame]:
    """Say whether `X` is a Spark DataFrame; see `kind_of`."""
    return kind_of(X) == "spark"


_OURS = (
    "On a Spark DataFrame, take those of the same name in raydp_ml.model_selection, .metrics, "
    ".inspection, .calibration, .compose, .feature_selection or .pipeline; where there is none, "
    "give scikit-learn's a sample in memory, df.sample(...).toPandas()."
)


def _naming_ours(judge: Callable[..., Any], of_text: str | None = None) -> Callable[..., Any]:
    """Wrap what looks at data in scikit-learn, so that it names ours to a Spark DataFrame.

    `of_text` is what scikit-learn says of a text in the place of labels, as a column's name is one.
    """

    @functools.wraps(judge)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        for value in args:
            kind = type(value)
            # A pandas-on-Spark frame is scikit-learn's business.
            if kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql."):
                raise _param_validation.InvalidParameterError(
                    f"What is scikit-learn's own takes data in memory, array-like. Got {value} "
                    f"instead. {_OURS}"
                )
            if kind is str and of_text is not None:
                raise _param_validation.InvalidParameterError(f"{of_text} {value!r}. {_OURS}")
        return judge(*args, **kwargs)

    return wrapped


# scikit-learn has no place where others could add to its errors. What splits, searches, scores,
# cross-validates or holds estimators meets one of these before it calls an estimator.
validation._num_samples = _naming_ours(validation._num_samples)
validation.get_namespace = _naming_ours(
    validation.get_namespace, "y should be a 1d array, got an array of shape () instead, the text"
)
multiclass.get_namespace = _naming_ours(
    multiclass.get_namespace, "Expected array-like (array or non-string sequence), got"
)
_param_validation._ArrayLikes.is_satisfied_by = _naming_ours(
    _param_validation._ArrayLikes.is_satisfied_by
)


def folds_case(df: DataFrame) -> bool:
    """Say whether column names that differ by case only are the same name to Spark."""
    return str(df.sparkSession.conf.get("spark.sql.caseSensitive", "false")).lower() != "true"


HELD = ("estimator", "regressor", "estimator_", "regressor_", "best_estimator_")
"""The attributes by which meta-estimators hold what they wrap."""


class SparkEstimator(Documented):
    """Mixin of everything in raydp_ml that has a ``fit``.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,), dtype object
        Defined only when the X given to ``fit`` has names.
    """

    n_features_in_: int
    feature_names_in_: np.ndarray

    def _set_features_in(self, names: list[str] | None, count: int) -> None:
        """Set the fitted names as scikit-learn's ``validate_data`` does for its own kinds."""
        self.n_features_in_ = count
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _check_names_in(self, names: list[str]) -> None:
        """Check the names of an in-memory frame with scikit-learn's own rules and texts."""
        import pandas as pd
        from sklearn.utils.validation import validate_data

        # Only the names count, so that no data has to change hands.
        validate_data(self, pd.DataFrame(columns=names), reset=False, skip_check_array=True)
        if len(names) != self.n_features_in_:
            raise ValueError(
                f"X has {len(names)} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )

    def _require_names_in(self, what: str) -> list[str]:
        if not hasattr(self, "feature_names_in_"):
            raise SchemaError(
                f"This {type(self).__name__} was fitted on data without column names, so {what} "
                "cannot tell which columns of a DataFrame are its features. "
                "Fit it on a frame (Spark, pandas, Arrow, polars). In a Pipeline that is fitted in "
                "memory, the steps before it must keep names: set_output(transform='pandas')."
            )
        return list(self.feature_names_in_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a folder of open formats.

        Parameters
        ----------
        path : str or path-like
            A folder; one that `save` wrote before is replaced.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            If a parameter cannot be written, such as a function.
        FileExistsError
            If `path` exists and is not such a folder.
        """
        from raydp_ml.saving.folders import save

        save(self, path)

    def to_onnx(self) -> onnx.ModelProto:
        """Return the fitted estimator as an ONNX graph; see `raydp_ml.to_onnx`."""
        from raydp_ml.conversion.onnx_graphs import to_onnx

        return to_onnx(self)

    def _saved_estimators(self) -> dict[str, BaseEstimator]:
        """Return the estimators that it holds and that have folders of their own, by name."""
        own = vars(self)
        return {name: own[name] for name in HELD if own.get(name) is not None}

    def _saved_state(self, folder: Path) -> dict[str, object]:
        """Return the fitted attributes, as plain values and arrays; may write files as well."""
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def _restore_state(self, state: dict[str, object], folder: Path) -> None:
        """Take back what `_saved_state` gave."""
        for name, value in state.items():
            setattr(self, name, value)


def has_names(X: Data, kind: str) -> bool:
    """Say whether an in-memory X has names (a pandas frame may have numbers instead)."""
    if kind == "array":
        return False
    return kind != "pandas" or all(isinstance(name, str) for name in cast("Any", X).columns)


def no_names(X: Data, name: str) -> ValueError:
    """Return the error of a column that is named beside an X without names."""
    return ValueError(
        f"The column name {name!r} was given, and X ({type(X).__name__}) has no column names. "
        "Pass an array, or a frame as X."
    )


def in_memory(X: Data, exact: Callable[[pd.DataFrame], Collection[str]] | None = None) -> Any:
    """Fetch Blocks and Ray Datasets into this process; leave all else as it is.

    Parameters
    ----------
    X : Blocks, Ray Dataset, pyarrow.Table, or other data
    exact : callable or None
        Given the pandas frame, names the columns in which integers that no double holds are to
        stay integers beside missing values: the column is one of objects then. The frame tells
        them as ``attrs["exact_integers"]``, by which a transformer within another that is handed
        such a frame has doubles of those that it computes with.
    """
    kind = kind_of(X)
    if kind == "pandas" and exact is not None:
        frame = cast("pd.DataFrame", X)
        names = set(frame.attrs.get("exact_integers", ())).intersection(frame.columns)
        return frame.astype(dict.fromkeys(names.difference(exact(frame)), float)) if names else X
    if kind not in {"blocks", "ray", "arrow"}:
        return X
    from raydp_ml.exchange.frames import exact_integers, named_table

    table = named_table(X, kind)
    frame = table.to_pandas()
    if exact is not None and (held := exact_integers(table)):
        names = set(held).intersection(exact(frame))
        frame = frame.assign(**{name: held[name] for name in names})
        frame.attrs["exact_integers"] = sorted(names)
    return frame


def require_column_name(value: object, what: str, columns: list[str]) -> str | None:
    """Return a name (or None) beside a Spark DataFrame; raise `TypeError` for anything else.

    Parameters
    ----------
    value : object
        What was given as a column.
    what : str
        The argument.
    columns : list of str
        Of the DataFrame.
    """
    if value is None or isinstance(value, str):
        return value
    raise TypeError(
        f"With a Spark DataFrame, {what} is the name of one of its columns. Got "
        f"{type(value).__name__} instead. {_name_remedy(value, what, columns)}"
    )


def _name_remedy(value: object, what: str, columns: list[str]) -> str:
    root = type(value).__module__.partition(".")[0]
    if root == "pyspark" and type(value).__name__ == "Column":
        return (
            f"Make it a column of the DataFrame first, df.withColumn({what!r}, ...), and pass "
            f"{what}={what!r}."
        )
    if kind_of(value) == "spark":
        return f"Join it to the DataFrame first, and pass the column's name: {what}={what!r}."
    names = value if isinstance(value, (list, tuple)) else []
    if names and all(isinstance(name, str) for name in names):
        if len(names) == 1:
            return f"Pass the name itself: {what}={names[0]!r}."
        return (
            "Several columns are one column of arrays: df.withColumn("
            f"{what!r}, functions.array(*{list(names)})), and {what}={what!r}."
        )
    name = getattr(value, "name", None)
    known = repr(name) if isinstance(name, str) and name in columns else "the name of its column"
    return (
        "The rows of a Spark DataFrame have no order that values beside it could follow: pass "
        f"{what}={known}."
    )


def check_output_column(df: DataFrame, name: str, parameter: str | None) -> None:
    """Raise `SchemaError` when the column that a prediction would be written to is there."""
    same = str.lower if folds_case(df) else str
    if same(name) in {same(column) for column in df.columns}:
        other = (
            f"rename it (df.withColumnRenamed({name!r}, ...))"
            if parameter is None
            else f"choose another name ({parameter}=...)"
        )
        raise SchemaError(
            f"The DataFrame already has a column {name!r}, and the output would take its place. "
            f"Drop it (df.drop({name!r})) or {other}."
        )
