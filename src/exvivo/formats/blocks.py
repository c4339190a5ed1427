"""Labelled plate-shaped blocks, the shared reading of exports that print one for each data set: grids -> checked readings; and back.

In flow grids that a format found in its text and the meaning that it took from the titles; out
flow faults and readings. MARS and Kaleido print such blocks; what a title means is theirs to know.
"""

from collections.abc import Iterable, Iterator, Mapping

from exvivo.errors import fault
from exvivo.formats.delimited import parse_number, signal_status
from exvivo.formats.grid import Area, Grid
from exvivo.formats.workbook import cell_text
from exvivo.study.design import PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

_LETTERS = "ABCDEFGHIJKLMNOP"
_ROWS = {12: 8, 24: 16}


def labelled_blocks(area: Area) -> tuple[Grid, ...]:
    """Grids with column numbers above and row letters beside, in file order."""
    return tuple(grid for row in range(len(area.rows) - 1) for grid in _blocks_at(area, row))


def _blocks_at(area: Area, row: int) -> Iterator[Grid]:
    """Grids whose column numbers stand in a row."""
    for column, cell in enumerate(area.rows[row]):
        if column == 0 or cell_text(cell).strip().lstrip("0") != "1" or area.text(row + 1, column - 1).upper() != "A":
            continue
        n_columns = next((n for n in range(1, 24) if area.text(row, column + n).lstrip("0") != str(n + 1)), 24)
        n_rows = next((n for n in range(1, 16) if area.text(row + 1 + n, column - 1).upper() != _LETTERS[n]), 16)
        if n_columns > 1 and n_rows > 1:
            yield Grid(area, row + 1, column, n_rows, n_columns, header=True, letters=True)


def title_above(grid: Grid) -> tuple[int, str]:
    """Row (0-based) and text of the nearest filled line above a block; row -1 and no text if there is none."""
    for row in range(grid.top - 2, -1, -1):
        cells = [grid.area.text(row, column) for column in range(len(grid.area.rows[row]))]
        filled = [cell for cell in cells if cell]
        if filled:
            return row, " ".join(" ".join(filled).split())
    return -1, ""


def block_faults(grid: Grid, where: str) -> Iterator[str]:
    """Rows that are missing, and cells that are neither numbers nor words of a reader."""
    expected = _ROWS.get(grid.n_columns)
    if _is_larger(grid):
        place = f"{where}, {grid.area.origin(grid.top - 1, 0)}"
        yield fault(place, "a plate of more than 384 wells", "8 x 12 or 16 x 24 wells", "Leave this file out")
        return
    if expected is None or grid.n_rows != expected:
        found = f"a block of {grid.n_rows} rows and {grid.n_columns} columns"
        place = f"{where}, {grid.area.origin(grid.top - 1, 0)}"
        yield fault(place, found, "8 x 12 or 16 x 24 wells", "The file is cut off: export again")
    for well, cell, origin in grid.cells():
        if signal_status(cell_text(cell)) is None:
            expected_cell = "a number or a reader's word such as OVERFLOW"
            yield fault(f"{where}, {origin}", f"well {well}: '{cell_text(cell).strip()}' is no reading", expected_cell, "Export again")


def _is_larger(grid: Grid) -> bool:
    """Whether a frame goes on beyond column 24 or row P."""
    below = grid.area.text(grid.top + grid.n_rows, grid.left - 1) if grid.letters else ""
    return grid.n_columns > max(_ROWS) or below == "Q" or (grid.header and grid.area.text(grid.top - 1, grid.left + grid.n_columns) == "25")


def short_rows(grid: Grid) -> Iterator[tuple[int, str]]:
    """Row (0-based) and message of each line that ends before the last column: some software leaves out separators after the last well."""
    for row in range(grid.n_rows):
        length = len(grid.area.rows[grid.top + row]) - grid.left
        if length < grid.n_columns:
            yield grid.top + row, f"row {_LETTERS[row]} ends after {max(length, 0)} of {grid.n_columns} wells"


def block_readings(grid: Grid, wavelength_nm: int | None, kind: SignalKind, decimal: str) -> Iterator[WellReading]:
    """Readings of a block that has no faults, row by row."""
    return cell_readings(((well, cell_text(cell).strip(), origin) for well, cell, origin in grid.cells()), wavelength_nm, kind, decimal)


def cell_readings(
    cells: Iterable[tuple[str, str, str]], wavelength_nm: int | None, kind: SignalKind, decimal: str
) -> Iterator[WellReading]:
    """Readings of cells that have no faults: well, printed text, origin."""
    for well, text, origin in cells:
        status = signal_status(text) or ReadingStatus.MISSED
        signal = parse_number(text, decimal) if status is ReadingStatus.OK else None
        yield WellReading(well, wavelength_nm, signal, status, kind, text, origin)


def data_sets(plate: PlateRecord) -> dict[tuple[int | None, SignalKind], dict[str, str]]:
    """Printed text of each well, by wavelength and kind."""
    sets: dict[tuple[int | None, SignalKind], dict[str, str]] = {}
    for one in plate.readings:
        text = one.text if one.text or one.signal is None else repr(one.signal)
        sets.setdefault((one.wavelength_nm, one.kind), {})[one.well] = text
    return sets


def block_rows(plate: PlateRecord, cells: Mapping[str, str]) -> Iterator[list[str]]:
    """Rows of one block: column numbers, then a letter and its wells."""
    yield ["", *(str(column + 1) for column in range(plate.n_columns))]
    for row in range(plate.n_rows):
        yield [_LETTERS[row], *(cells.get(well_name(row, column), "") for column in range(plate.n_columns))]
