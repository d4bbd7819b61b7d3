"""`SQLTransformer`: a SELECT statement as a step of a Pipeline."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin

from raydp_ml.base import SparkEstimator, kind_of

__all__ = ["SQLTransformer"]

_PLACE = "__THIS__"


class SQLTransformer(SparkEstimator, TransformerMixin, BaseEstimator):
    """Transform a Spark DataFrame by an SQL statement.

    Parameters
    ----------
    statement : str, default="select * from __THIS__"
        SQL in which ``__THIS__`` is the DataFrame.

    See Also
    --------
    pyspark.ml.feature.SQLTransformer : The same as a step of a Spark Pipeline.

    Examples
    --------
    >>> from raydp_ml.sql import SQLTransformer
    >>> step = SQLTransformer("select *, a / b as ratio from __THIS__")
    >>> step.fit_transform(df).columns  # doctest: +SKIP
    ['a', 'b', 'ratio']
    """

    def __init__(self, statement: str = "select * from __THIS__") -> None:
        self.statement = statement

    def fit(self, X: Any, y: Any = None) -> SQLTransformer:
        """Check the statement against the columns of X; there is nothing to learn.

        Parameters
        ----------
        X : pyspark.sql.DataFrame
        y : str, default=None
            The label's column, which the statement should keep.

        Raises
        ------
        ValueError
            If the statement is not one over ``__THIS__``.
        pyspark.errors.AnalysisException
            If Spark cannot run it on X.
        """
        self.transform(X)
        self._set_features_in(list(X.columns), len(X.columns))
        return self

    def transform(self, X: Any) -> Any:
        """Return the result of the statement on the Spark DataFrame X, lazily."""
        if kind_of(X) != "spark":
            raise TypeError(
                f"SQLTransformer takes a Spark DataFrame, since its SQL is Spark's. Got "
                f"{type(X).__name__} instead."
            )
        if not isinstance(self.statement, str) or _PLACE not in self.statement:
            raise ValueError(
                f"The 'statement' parameter of SQLTransformer must be SQL in which {_PLACE} is the "
                f"DataFrame. Got {self.statement!r} instead."
            )
        # A brace in the statement itself would be one of Spark's own placeholders.
        statement = self.statement.replace("{", "{{").replace("}", "}}")
        return X.sparkSession.sql(statement.replace(_PLACE, "{this}"), this=X)

    def __sklearn_is_fitted__(self) -> bool:
        return True
