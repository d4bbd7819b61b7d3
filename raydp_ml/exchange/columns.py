"""Which columns of a frame are features, and which are label, weight, group, ... (pure).

Nothing here needs Spark, Ray or a cluster: a schema goes in, a decision or a `SchemaError` comes
out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from raydp_ml.exceptions import SchemaError, name_hint

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql.types import ArrayType, DataType, StructType

ROLES_KEY = "raydp_ml"
NUMERIC = frozenset({"number", "boolean", "decimal"})
"""Kinds of columns whose values are numbers."""

ROLES = ("label", "sample_weight", "group", "validation", "ignore")

_NUMBERS = {"byte", "short", "integer", "long", "float", "double"}
_REMEDIES = {
    "string": "pass enable_categorical=True to use it as a category, encode it as numbers",
    "category": "pass enable_categorical=True to use it as a category, encode it as numbers",
    "time": "turn it into numbers (for example year(...), dayofweek(...), unix_timestamp(...))",
    "other": "select the numbers inside it into columns of their own",
    "array": "select its elements into columns of their own",
    "vector": "select its elements into columns of their own",
}


@dataclass(frozen=True)
class Column:
    """One column of a frame, as far as a decision about it needs.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "decimal", "string", "category", "array", "vector", "time", \
"other"}
    type_name : str
        The type as its user writes it, for error texts.
    metadata : mapping
    """

    name: str
    kind: str
    type_name: str
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def role(self) -> str | None:
        """The role that `raydp_ml.set_roles` gave the column."""
        entry = self.metadata.get(ROLES_KEY)
        return entry.get("role") if isinstance(entry, Mapping) else None


@dataclass(frozen=True)
class ColumnRoles:
    """The decision: which columns play which part.

    Attributes
    ----------
    features : tuple of Column
    label, sample_weight, group, validation, base_margin : str or None
    """

    features: tuple[Column, ...]
    label: str | None = None
    sample_weight: str | None = None
    group: str | None = None
    validation: str | None = None
    base_margin: str | None = None

    @property
    def feature_names(self) -> list[str]:
        """Names of the features, in the frame's order."""
        return [column.name for column in self.features]

    @property
    def others(self) -> list[str]:
        """Names of the columns that are used and are not features."""
        names = (self.label, self.sample_weight, self.group, self.validation, self.base_margin)
        return [name for name in names if name is not None]


def from_spark_schema(schema: StructType) -> list[Column]:
    """Describe the columns of a Spark ``StructType``."""
    return [
        Column(
            item.name,
            _spark_kind(item.dataType),
            # A vector's simple string is the struct that it is stored as.
            "vector" if _is_vector(item.dataType) else item.dataType.simpleString(),
            dict(item.metadata or {}),
        )
        for item in schema.fields
    ]


def _is_vector(data_type: DataType) -> bool:
    return type(data_type).__name__ == "VectorUDT"


def _spark_kind(data_type: DataType) -> str:
    if _is_vector(data_type):
        return "vector"
    name = data_type.typeName()
    if name in _NUMBERS:
        return "number"
    if name in {"boolean", "decimal"}:
        return name
    if name in {"string", "varchar", "char"}:
        return "string"
    if name == "array":
        element = _spark_kind(cast("ArrayType", data_type).elementType)
        return "array" if element in NUMERIC else "other"
    if name in {"date", "timestamp", "timestamp_ntz", "time"} or "interval" in name:
        return "time"
    return "other"


def from_arrow_schema(schema: pa.Schema) -> list[Column]:
    """Describe the columns of a ``pyarrow.Schema``."""
    return [Column(item.name, _arrow_kind(item.type), str(item.type)) for item in schema]


def _arrow_kind(data_type: pa.DataType) -> str:
    import pyarrow.types as pat

    if pat.is_integer(data_type) or pat.is_floating(data_type) or pat.is_null(data_type):
        return "number"
    if pat.is_boolean(data_type):
        return "boolean"
    if pat.is_decimal(data_type):
        return "decimal"
    if pat.is_string(data_type) or pat.is_large_string(data_type) or pat.is_string_view(data_type):
        return "string"
    if pat.is_dictionary(data_type):
        return "category"
    if pat.is_fixed_size_list(data_type) or pat.is_list(data_type) or pat.is_large_list(data_type):
        element = _arrow_kind(data_type.value_type)
        if element not in NUMERIC:
            return "other"
        return "vector" if pat.is_fixed_size_list(data_type) else "array"
    return "time" if pat.is_temporal(data_type) else "other"


def check_unique(names: Iterable[str], *, fold_case: bool = False) -> None:
    """Raise `SchemaError` when two columns bear the same name.

    Parameters
    ----------
    names : iterable of str
    fold_case : bool, default=False
        Whether names that differ by case only are the same name (Spark's default).
    """
    counts = Counter(_folded(name, fold_case) for name in names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        case = " (Spark does not tell upper from lower case)" if fold_case else ""
        raise SchemaError(
            f"Column names must be unique{case}, but these occur more than once: {twice}. "
            "Rename or drop one of each, for example with df.toDF(...) or df.drop(...)."
        )


def column_names(given: object, what: str) -> list[str]:
    """Return a list of names of columns.

    Raises
    ------
    TypeError
        It is something else: text alone would be taken letter by letter.
    """
    if isinstance(given, Iterable) and not isinstance(given, str):
        names = [*given]
        if all(isinstance(name, str) for name in names):
            return names
    instead = f"[{given!r}]" if isinstance(given, str) else "a list of names"
    raise TypeError(f"{what} takes names of columns in a list. Got {given!r}. Pass {instead}.")


def check_exists(name: str, columns: Sequence[Column | str], what: str) -> None:
    """Raise `SchemaError` when there is no column `name`, naming the nearest one."""
    names: list[str] = [column.name if isinstance(column, Column) else column for column in columns]
    if name not in names:
        raise SchemaError(
            f"There is no column {name!r}, given as the {what}. " + name_hint(name, names)
        )


def resolve_columns(
    columns: Sequence[Column],
    *,
    label: str | None = None,
    sample_weight: str | None = None,
    group: str | None = None,
    validation: str | None = None,
    base_margin: str | None = None,
    enable_categorical: bool = False,
    supports_arrays: bool = True,
    supports_categories: bool = True,
    kinds: Collection[str] | None = None,
    fold_case: bool = False,
    in_spark: bool = True,
    array_label: bool = False,
) -> ColumnRoles:
    """Decide which columns are features and which play another part.

    A name given here wins over the role that a column bears; a column that bears a role is never
    a feature.

    Parameters
    ----------
    columns : sequence of Column
    label, sample_weight, group, validation, base_margin : str or None
        Names given to ``fit``.
    enable_categorical : bool, default=False
        Whether string and category columns may be features.
    supports_arrays : bool, default=True
        Whether arrays and vectors may be features.
    supports_categories : bool, default=True
        Whether ``enable_categorical`` is a remedy that an error may name.
    kinds : collection of str or None
        The kinds of columns that may be features; None leaves it to the parameters above.
    fold_case : bool, default=False
        See `check_unique`.
    in_spark : bool, default=True
        Whether the frame is one whose columns can be given roles.
    array_label : bool, default=False
        Whether the label may be an array: several targets.

    Returns
    -------
    ColumnRoles

    Raises
    ------
    SchemaError
        For a missing or doubled name, a feature of a type that cannot be used, or no feature.
    """
    check_unique((column.name for column in columns), fold_case=fold_case)
    given = {
        "label": label,
        "sample_weight": sample_weight,
        "group": group,
        "validation": validation,
        "base_margin": base_margin,
    }
    for role, name in given.items():
        if name is not None:
            check_exists(name, columns, role)
    # A column that is named for one part does not play the part that its role says as well.
    free = [column for column in columns if column.name not in given.values()]
    holders = {role: name or _holder(free, role) for role, name in given.items()}
    _check_distinct(holders)
    taken = {name for name in holders.values() if name is not None}
    features = tuple(
        column for column in columns if column.name not in taken and column.role not in ROLES
    )
    if not features:
        raise SchemaError(
            f"No feature is left: the columns are {[column.name for column in columns]}, and "
            "each of them is the label, has another role, or is ignored. "
            "Add a column, or take a role away with raydp_ml.set_roles."
        )
    allowed = set(NUMERIC)
    allowed |= {"array", "vector"} if supports_arrays else set()
    allowed |= {"string", "category"} if enable_categorical else set()
    allowed = allowed if kinds is None else set(kinds)
    check_kinds(features, allowed, supports_categories=supports_categories, in_spark=in_spark)
    check_part_kinds(columns, holders, array_label)
    return ColumnRoles(features, **holders)


def _holder(columns: Sequence[Column], role: str) -> str | None:
    holders = [column.name for column in columns if column.role == role]
    if len(holders) > 1:
        raise SchemaError(
            f"The columns {holders} all bear the role {role!r} (a join or union can bring that "
            f"about), and only one may. Choose it: raydp_ml.set_roles(df, {role}={holders[0]!r})."
        )
    return holders[0] if holders else None


def _check_distinct(holders: Mapping[str, str | None]) -> None:
    names = [name for name in holders.values() if name is not None]
    for name in names:
        roles = [role for role, holder in holders.items() if holder == name]
        if len(roles) > 1:
            raise SchemaError(
                f"The column {name!r} cannot be {' and '.join(roles)} at once. "
                "Give each its own column."
            )


def check_kinds(
    features: Iterable[Column],
    allowed: Collection[str],
    *,
    supports_categories: bool = True,
    in_spark: bool = True,
) -> None:
    """Raise `SchemaError` for the first feature whose kind is not `allowed`."""
    for column in features:
        if column.kind in allowed:
            continue
        remedy = _REMEDIES.get(column.kind, _REMEDIES["other"])
        if column.kind in {"string", "category"} and not supports_categories:
            remedy = "encode it as numbers"
        if allowed == {"string"}:
            remedy = "make it a string (by a cast, or of an array by concat_ws(' ', ...))"
        aside = ", or drop it."
        if in_spark:
            aside = (
                f", or drop it, or set it aside: raydp_ml.set_roles(df, ignore=[{column.name!r}])."
            )
        raise SchemaError(
            f"The column {column.name!r} of type {column.type_name} cannot be a feature. "
            f"Either {remedy}{aside}"
        )


def check_part_kinds(
    columns: Sequence[Column], holders: Mapping[str, str | None], array_label: bool
) -> None:
    """Raise `SchemaError` for a label, weights and the like in a column of another type.

    Parameters
    ----------
    columns : sequence of Column
    holders : dict of str to str or None
        Names of columns by their roles.
    array_label : bool
        Whether the label may be an array: several targets.
    """
    allowed = {
        "label": ({*NUMERIC, "string", "category"}, "numbers or strings"),
        "sample_weight": ({"number", "decimal"}, "numbers"),
        "group": ({*NUMERIC, "string", "category"}, "numbers or strings"),
        "validation": ({"boolean"}, "booleans (true marks the evaluation rows)"),
        "base_margin": ({"number", "decimal", "array", "vector"}, "numbers, or arrays of them"),
    }
    if array_label:
        allowed["label"][0].update({"array", "vector"})
    by_name = {column.name: column for column in columns}
    for role, (kinds, wanted) in allowed.items():
        name = holders.get(role)
        if name is not None and by_name[name].kind not in kinds:
            raise SchemaError(
                f"The {role} column {name!r} is of type {by_name[name].type_name}, and must hold "
                f"{wanted}. Cast it first, for example with df.withColumn(...)."
            )


def pick_columns(
    columns: Sequence[Column], names: Sequence[str], what: str, *, fold_case: bool = False
) -> list[Column]:
    """Return the columns that bear `names`, in that order.

    Parameters
    ----------
    columns : sequence of Column
        The columns of the frame at hand; it may hold others too.
    names : sequence of str
        The features that were seen in ``fit``.
    what : str
        Who needs them, for the error.
    fold_case : bool, default=False
        Whether names that differ by case only are the same name.

    Raises
    ------
    SchemaError
        Naming the columns that lack, and the nearest that there is; or those that could be two.
    """
    by_name = {column.name: column for column in columns}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise SchemaError(
            f"{what} needs the columns {missing} that it was fitted with, and the data has not. "
            + name_hint(missing[0], by_name)
        )
    wanted = {_folded(name, fold_case) for name in names}
    found = [column.name for column in columns if _folded(column.name, fold_case) in wanted]
    check_unique(found, fold_case=fold_case)
    return [by_name[name] for name in names]


def _folded(name: str, fold_case: bool) -> str:
    return name.lower() if fold_case else name


_ALIKE: dict[str, frozenset[str]] = {
    **dict.fromkeys(NUMERIC, NUMERIC),
    # Categories are compared as text: numbers may be categories too.
    **dict.fromkeys(("string", "category"), frozenset({"string", "category"}) | NUMERIC),
    **dict.fromkeys(("array", "vector"), frozenset({"array", "vector"})),
}


def check_alike(columns: Iterable[Column], like: Iterable[Column], what: str) -> None:
    """Raise `SchemaError` for a feature that is of another kind than in the training data.

    Parameters
    ----------
    columns : iterable of Column
        The features of an evaluation set.
    like : iterable of Column
        The same of the training data, in the same order.
    what : str
        Which evaluation set it is, for the error.
    """
    for column, first in zip(columns, like, strict=True):
        if column.kind not in _ALIKE.get(first.kind, {first.kind}):
            raise SchemaError(
                f"The column {column.name!r} of the {what} is of type {column.type_name}, and in "
                f"the training data it is of type {first.type_name}. Give both the same type."
            )


def decimal_digits(type_name: str) -> tuple[int, int]:
    """Return precision and scale of a type that Spark writes as ``decimal(10,2)``."""
    precision, scale = type_name.removeprefix("decimal(").removesuffix(")").split(",")
    return int(precision), int(scale)


def quoted(name: str) -> str:
    """Quote a column name for Spark, so that dots and backticks are part of it."""
    return "`" + name.replace("`", "``") + "`"
