"""A metric of scikit-learn's that takes a Spark DataFrame as well."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from raydp_ml.base import is_spark, kind_of
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import NUMERIC
from raydp_ml.metrics._columns import Columns, read_columns
from raydp_ml.metrics._jobs import Computation, Function, Options, run

__all__ = ["DEFINITIONS", "Metric", "definition_of", "spark_metric"]

Compute: TypeAlias = Callable[[Columns, Function, Options], Computation]

DEFINITIONS: dict[str, Metric] = {}
"""All metrics by their names."""

_DEFAULTS = {"class": "prediction", "number": "prediction", "score": "probability"}
_TEXT = """scikit-learn's `{name}`, of the columns of a Spark DataFrame too.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        In its place, and that of the names, arrays: ``{name}({y}, {p})`` is scikit-learn's.
    {y} : str, default=None
        The column of labels. None takes the one with the role "label"
        (`raydp_ml.set_roles`), or else the column ``"label"``.
    {p} : str, default={default!r}
        The column of {what}.
{weight}{more}    **options
        As in `sklearn.metrics`: {options}.

    Returns
    -------
    float or other
        What scikit-learn returns for the same rows.

    Raises
    ------
    SchemaError
        If a column does not exist, or holds null, NaN or infinite values, or there are no rows.
    ValueError
        What scikit-learn raises for such labels and options.
    """
_WEIGHT = """    sample_weight : str, default=None
        The column of weights. None takes the one with the role "sample_weight", if any.
"""
_GROUP = """str, default=None
        The column of groups. None takes the one with the role "group"; without one, all rows are
        one group"""
_WHAT = {
    "class": "predicted classes",
    "number": "predicted numbers",
    "score": "scores: numbers, or arrays of one for each of the sorted classes",
}


@dataclass(frozen=True)
class Metric:
    """What a metric needs, and how it is computed.

    Attributes
    ----------
    function : callable
        scikit-learn's.
    takes : {"class", "number", "score"}
        What is compared with the label.
    compute : callable
        From columns, the function and its options, the computation.
    more : mapping of str to (object, str)
        Options that scikit-learn's function has not: defaults and descriptions.
    ranks : bool
        Whether rows are compared within groups.
    """

    function: Function
    takes: str
    compute: Compute
    more: Mapping[str, tuple[Any, str]]
    ranks: bool = False

    @property
    def name(self) -> str:
        """The name of scikit-learn's function."""
        return self.function.__name__

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The parameters of scikit-learn's function."""
        every = inspect.signature(self.function).parameters.values()
        return [parameter for parameter in every if parameter.default != "deprecated"]

    @property
    def weighs(self) -> bool:
        """Whether rows may have weights."""
        return any(parameter.name == "sample_weight" for parameter in self.parameters)

    def begin(self, columns: Columns, options: Mapping[str, Any]) -> Computation:
        """Begin the computation.

        Raises
        ------
        SchemaError
            For labels that are no numbers, where such are needed.
        TypeError
            For an option that there is not.
        """
        known = {key: value for key, value in options.items() if key not in self.more}
        inspect.signature(self.function).bind((), (), **known)
        if self.takes == "number" or self.ranks:
            self._check_numbers(columns)
        given = {**{key: default for key, (default, _) in self.more.items()}, **options}
        given.pop("group", None)  # It is one of the columns.
        return self.compute(columns if self.weighs else columns.unweighted(), self.function, given)

    def _check_numbers(self, columns: Columns) -> None:
        for column in (columns.label, columns.prediction):
            if column is not None and column.kind not in NUMERIC:
                raise SchemaError(
                    f"{self.name} compares numbers, and the column {column.name!r} is of type "
                    f"{column.type_name}. Cast it, or choose another metric."
                )

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute it on a Spark DataFrame."""
        y, p = (parameter.name for parameter in self.parameters[:2])
        df, y_true, predicted = _bound(y, p, _DEFAULTS[self.takes], *args, **kwargs)
        options = {key: v for key, v in kwargs.items() if key not in {"df", y, p}}
        weight, group = options.pop("sample_weight", None), None
        if weight is not None and not self.weighs:
            raise TypeError(
                f"{self.name} has no weights, in scikit-learn as here. Got "
                f"sample_weight={weight!r}."
            )
        if self.ranks:
            group = options.pop("group", None)
        prediction, score = (None, predicted) if self.takes == "score" else (predicted, None)
        columns = read_columns(
            df,
            y_true,
            prediction,
            score,
            weight if self.weighs else None,
            group,
            names=(p, p),
            ranks=self.ranks,
        )
        return run(columns, {self.name: self.begin(columns, options)})[self.name]


def _bound(y: str, p: str, default: str, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    """Bind the DataFrame and its two columns, by scikit-learn's names for them."""
    kinds = inspect.Parameter
    names = {"df": kinds.empty, y: None, p: default}
    signature = inspect.Signature(
        [kinds(name, kinds.POSITIONAL_OR_KEYWORD, default=d) for name, d in names.items()]
    )
    bound = signature.bind(*args, **{k: v for k, v in kwargs.items() if k in names})
    bound.apply_defaults()
    return bound.arguments["df"], bound.arguments[y], bound.arguments[p]


def spark_metric(
    function: Function,
    takes: str,
    compute: Compute,
    *,
    ranks: bool = False,
    **more: tuple[Any, str],
) -> Callable[..., Any]:
    """Make the function of a metric that takes a Spark DataFrame, or what scikit-learn takes."""
    if ranks:
        more["group"] = (None, _GROUP)
    definition = Metric(function, takes, compute, more, ranks)
    DEFINITIONS[definition.name] = definition

    def metric(*args: Any, **kwargs: Any) -> Any:
        data = args[0] if args else kwargs.get("df")
        if is_spark(data):
            return definition.of(args, kwargs)
        columns = [p.name for p in definition.parameters[:2] if type(kwargs.get(p.name)) is str]
        if columns or kind_of(data) == "blocks":
            raise TypeError(
                f"{definition.name} takes a Spark DataFrame and names of columns, or arrays. Got "
                f"{type(data).__name__}{' and ' * bool(columns)}{', '.join(columns)}. Pass "
                "raydp_ml.to_spark(data), or the values themselves."
            )
        return function(*args, **kwargs)

    metric.definition = definition  # type: ignore[attr-defined]
    metric.__name__ = metric.__qualname__ = definition.name
    metric.__module__ = "raydp_ml.metrics"
    metric.__signature__ = _signature(definition)  # type: ignore[attr-defined]
    metric.__doc__ = _described(definition)
    return metric


def definition_of(function: Any) -> Metric | None:
    """Return the metric that a function is, scikit-learn's or ours; a namesake is none."""
    own = getattr(function, "definition", None)
    if isinstance(own, Metric):
        return own
    found = DEFINITIONS.get(getattr(function, "__name__", ""))
    return found if found is not None and found.function is function else None


def _signature(metric: Metric) -> inspect.Signature:
    kinds = inspect.Parameter
    y, p, *rest = metric.parameters
    ours = [
        kinds("df", kinds.POSITIONAL_OR_KEYWORD),
        y.replace(default=None),
        p.replace(default=_DEFAULTS[metric.takes]),
    ]
    options = [item.replace(kind=kinds.KEYWORD_ONLY) for item in rest]
    extra = [kinds(name, kinds.KEYWORD_ONLY, default=d) for name, (d, _) in metric.more.items()]
    return inspect.Signature([*ours, *options, *extra])


def _described(metric: Metric) -> str:
    y, p, *rest = (parameter.name for parameter in metric.parameters)
    options = [name for name in rest if name != "sample_weight"]
    return _TEXT.format(
        name=metric.name,
        y=y,
        p=p,
        default=_DEFAULTS[metric.takes],
        what=_WHAT[metric.takes],
        weight=_WEIGHT if metric.weighs else "",
        more="".join(f"    {name} : {text}.\n" for name, (_, text) in metric.more.items()),
        options=", ".join(f"`{name}`" for name in options) or "there are none",
    )
