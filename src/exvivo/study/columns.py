"""What a table is made of: declared columns, a checked constructor, a frozen frame. ``tables`` declares them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

TEXT, REAL, COUNT, FLAG = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean()


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, type, meaning, unit, allowed values, whether it may be empty."""

    name: str
    dtype: pl.DataType
    meaning: str
    unit: str = ""
    allowed: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True)
class TableKind:
    """Declaration of a table. ``extra`` says what further columns are, empty for none; ``extra_in_key``: rows may differ by them alone."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    extra: str = ""
    extra_in_key: bool = False

    @property
    def names(self) -> list[str]:
        """Declared column names in order."""
        return [column.name for column in self.columns]

    def build(self, frame: pl.DataFrame) -> "Table":
        """Checked table.

        Types are cast strictly, the declared columns come first, further ones follow where allowed; rows keep their order.

        Raises
        ------
        ValueError : a column is missing or unknown, a value is not allowed, a required cell is empty, or the key repeats
        """
        missing = [name for name in self.names if name not in frame.columns]
        unknown = [name for name in frame.columns if name not in self.names]
        if missing or (unknown and not self.extra):
            raise ValueError(f"table '{self.name}': missing columns {missing}, unknown columns {unknown}")
        ordered = frame.select([pl.col(c.name).cast(c.dtype) for c in self.columns] + [pl.col(name) for name in unknown])
        self._check_cells(ordered)
        return Table(self, ordered)

    def from_rows(self, rows: Sequence[Mapping[str, object]]) -> "Table":
        """Table from one mapping per row; absent cells are empty."""
        return self.build(self.lay_out(rows))

    def lay_out(self, rows: Sequence[Mapping[str, object]]) -> pl.DataFrame:
        """Frame from one mapping per row, its types checked and nothing else: parts of a table that is built, and checked, as a whole."""
        return pl.DataFrame(list(rows), schema={c.name: c.dtype for c in self.columns}, orient="row", strict=True)

    def empty(self) -> "Table":
        """Table without rows."""
        return self.from_rows([])

    def _check_cells(self, frame: pl.DataFrame) -> None:
        for column in self.columns:
            cells = frame.get_column(column.name)
            if column.required and cells.null_count():
                raise ValueError(f"table '{self.name}': column '{column.name}' has {cells.null_count()} empty cells")
            if column.allowed and (wrong := sorted(set(cells.drop_nulls().unique().to_list()) - set(column.allowed))):
                raise ValueError(f"table '{self.name}': column '{column.name}' holds {wrong}, allowed are {list(column.allowed)}")
            if column.dtype == REAL and cells.is_nan().any():
                raise ValueError(f"table '{self.name}': column '{column.name}' holds NaN; missing is an empty cell")
        if self.key and frame.height:
            key = [*self.key, *(frame.columns[len(self.columns) :] if self.extra_in_key else ())]
            if (repeated := frame.filter(frame.select(key).is_duplicated()).select(key)).height:
                raise ValueError(f"table '{self.name}': key {key} repeats, first {repeated.rows()[0]}")


@dataclass(frozen=True, slots=True)
class Table:
    """A checked, immutable table: built with ``TableKind.build``, read through ``frame``."""

    kind: TableKind
    frame: pl.DataFrame

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.frame.height

    def rows(self) -> list[dict[str, object]]:
        """One mapping per row, in order."""
        return self.frame.to_dicts()
