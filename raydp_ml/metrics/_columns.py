"""Which columns a metric reads, and the narrow DataFrame of them that every job runs over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC, Column, check_exists, from_spark_schema, quoted
from raydp_ml.exchange.jvm import require_batch
from raydp_ml.exchange.sql_text import select, select_columns, vector_to_array, where
from raydp_ml.spark_jobs.expressions import comparable, double
from raydp_ml.spark_jobs.scores import check_complete, check_weights, named_column, weight_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Columns", "read_columns"]

_FLOATING = {"float", "double"}
_LABELS = NUMERIC | {"string"}
_INFINITE = "double('Infinity')"


@dataclass(frozen=True)
class Columns:
    """The columns of a metric as a DataFrame.

    Attributes
    ----------
    df : pyspark.sql.DataFrame
        The label ``y``, the prediction ``p`` (a class or a number), both as doubles, ``u`` and
        ``v``, the scores ``s`` (a double, or an array of one for each class), the weight ``w``
        and the group ``g``.
    label, prediction, score, weight, group : Column or None
        What they were.
    at : int or None
        Which of several scores is the one.
    known : dict
        What was looked up in the data.
    """

    df: DataFrame
    label: Column
    prediction: Column | None
    score: Column | None
    weight: Column | None
    group: Column | None = None
    at: int | None = None
    known: dict[str, Any] = field(default_factory=dict)

    def of_class(self, at: int) -> Columns:
        """Take one of the scores of each row."""
        return replace(self, at=at)

    def unweighted(self) -> Columns:
        """Leave the weights out."""
        return replace(self, weight=None)

    @property
    def s(self) -> str:
        """SQL of the score, where it is a number."""
        return "s" if self.at is None else f"get(s, {self.at})"

    @property
    def w(self) -> str:
        """SQL of the weight."""
        return "1.0D" if self.weight is None else "w"

    @property
    def total(self) -> str:
        """SQL of the sum of weights, a whole number where there are none."""
        return "count(1)" if self.weight is None else "sum(w)"

    @property
    def eps(self) -> float:
        """What scikit-learn keeps probabilities of this precision away from 0 and 1 by."""
        kind = "" if self.score is None else self.score.type_name
        return 2.0**-23 if kind in {"float", "array<float>"} else 2.0**-52

    @property
    def width(self) -> int | None:
        """How many scores a row has; None where it is a number."""
        return None if self.at is not None else self._width

    @property
    def _width(self) -> int | None:
        if self.score is None or self.score.kind in NUMERIC:
            return None
        if "width" not in self.known:
            row = select(where(self.df, "s is not null"), "size(s) AS k").head()
            self.known["width"] = 0 if row is None else row["k"]
        return self.known["width"]

    @property
    def start(self) -> tuple[float, float]:
        """A label and a prediction, near which sums of squares lose few digits."""
        # (NaN would be greater than infinity.)
        if "start" not in self.known:
            row = where(self.df, f"abs(u) < {_INFINITE} and abs(v) < {_INFINITE}").head()
            self.known["start"] = (0.0, 0.0) if row is None else (row["u"], row["v"])
        return self.known["start"]

    @property
    def checks(self) -> dict[str, str]:
        """Aggregates that say which values cannot be used."""
        found = {"rows": "count(1)", "y": f"sum(if({_bad('y', self.label)}, 1L, 0L))"}
        if self.prediction is not None:
            found["p"] = f"sum(if({_bad('p', self.prediction)}, 1L, 0L))"
        if self.score is not None:
            bad = "s is null or isnan(s) or abs(s) = " + _INFINITE
            if self.width is not None:
                each = f"exists(s, x -> x is null or isnan(x) or abs(x) = {_INFINITE})"
                bad = f"s is null or size(s) != {self.width} or {each}"
            found["s"] = f"sum(if({bad}, 1L, 0L))"
        if self.weight is not None:
            found["bad_w"] = f"sum(if(w is null or isnan(w) or abs(w) = {_INFINITE}, 1L, 0L))"
            found["some_w"] = "sum(if(w != 0, 1L, 0L))"
        return found

    def check(self, found: dict[str, int]) -> None:
        """Raise `SchemaError` for what `checks` found."""
        rows = found["rows"] or 0
        check_complete(rows, 0, self.label.name)
        for key, column in (("y", self.label), ("p", self.prediction), ("s", self.score)):
            if column is not None and found[key]:
                several = key == "s" and self.width is not None
                raise SchemaError(
                    f"The column {column.name!r} holds {found[key]} null, NaN or infinite"
                    f"{f' scores, or not {self.width} of them,' if several else ''} of {rows} "
                    "values, which cannot be scored. Drop such rows."
                )
        if self.weight is not None:
            check_weights(found["bad_w"], found["some_w"], rows)


def _bad(x: str, column: Column) -> str:
    if column.type_name not in _FLOATING:
        return f"{x} is null"
    return f"{x} is null or isnan({x}) or abs({x}) = {_INFINITE}"


def read_columns(
    df: DataFrame,
    y_true: object = None,
    prediction: object = None,
    score: object = None,
    sample_weight: object = None,
    group: object = None,
    *,
    names: tuple[str, str] = ("y_pred", "y_score"),
    ranks: bool = False,
) -> Columns:
    """Find the columns, and select them.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    y_true, prediction, score, sample_weight, group : str or None
        Names. A label, weight or group that is None is the column that bears the role, and a label
        otherwise ``"label"``; a prediction or score that is None is not read.
    names : (str, str)
        How prediction and score are called, for errors.
    ranks : bool, default=False
        Whether a group is wanted.

    Returns
    -------
    Columns

    Raises
    ------
    SchemaError
        For a column that does not exist, or is of a type that cannot be scored.
    TypeError
        For what is not the name of a column.
    """
    require_batch(df)
    label = named_column(df, y_true, "label") or named_column(df, "label", "label")
    weight = named_column(df, sample_weight, "sample_weight")
    chosen = {
        "y": label,
        "p": _given(df, prediction, names[0]),
        "s": _given(df, score, names[1]),
        "w": weight,
        "g": named_column(df, group, "group") if ranks else None,
    }
    columns = {column.name: column for column in from_spark_schema(df.schema)}
    held = {key: columns[name] for key, name in chosen.items() if name is not None}
    for key, role in (("y", "y_true"), ("p", names[0])):
        if key in held and held[key].kind not in _LABELS:
            raise SchemaError(
                f"The column {held[key].name!r}, given as {role}, is of type "
                f"{held[key].type_name}: a metric compares numbers, booleans or strings. "
                f"{_remedy(held[key])}"
            )
    texts = [f"{comparable(held[key])} AS {key}" for key in ("y", "p", "g") if key in held]
    texts += [
        f"{double(held[key].name)} AS {number}"
        for key, number in (("y", "u"), ("p", "v"))
        if key in held and held[key].kind in NUMERIC
    ]
    if weight is not None:
        texts.append(f"{weight_text(df, weight)} AS w")
    if "s" in held:
        df, made = _scores(df, held["s"], names[1])
        texts.append(f"{made} AS s")
    return Columns(
        select(df, *texts),
        held["y"],
        prediction=held.get("p"),
        score=held.get("s"),
        weight=held.get("w"),
        group=held.get("g"),
    )


def _given(df: DataFrame, name: object, what: str) -> str | None:
    if name is None:
        return None
    return named_column(df, name, what)


def _scores(df: DataFrame, column: Column, what: str) -> tuple[DataFrame, str]:
    if column.kind in NUMERIC:
        return df, double(column.name)
    if column.kind == "array":
        return df, f"cast({quoted(column.name)} as array<double>)"
    if column.kind != "vector":
        raise SchemaError(
            f"The column {column.name!r}, given as {what}, is of type {column.type_name}: scores "
            "are numbers, arrays of numbers or vectors. Cast it."
        )
    from pyspark.sql import functions

    check_exists(column.name, df.columns, what)
    source = functions.col(quoted(column.name))
    # (PySpark's function fails on a null vector.)
    made = functions.when(source.isNotNull(), vector_to_array(df)(source))
    name = "__raydp_ml_scores"
    return select_columns(df, [functions.col("*"), made.alias(name)]), name


def _remedy(column: Column) -> str:
    if column.kind not in {"array", "vector"}:
        return "Cast it to one of these."
    entry = f"{quoted(column.name)}[0]"
    if column.kind == "vector":
        entry = f"vector_to_array({column.name!r})[0]"
    return (
        f"Of several targets take one at a time, as {entry}, or scikit-learn's metric of the two "
        "columns in memory."
    )
