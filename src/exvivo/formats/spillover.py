"""Spillover matrices in files of their own: bytes in, one matrix out, and back.

A csv names its detectors in the header, below it stands one row for each of them, with or without
the row's name in front; ``detector :: marker`` means the detector. FlowJo's text matrices (a name,
the affixes, the header) and tables that R wrote are read too, as are FlowJo's ``.mtx``, spectrum
matrices of Gating-ML, and the matrix of a workspace if all its samples have the same.

Row = where the light comes from, column = where it is seen. A diagonal of ones means parts, one of
hundreds means per cent; any other is refused, since nobody could tell.
"""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lxml import etree

from exvivo.errors import InputError, fault
from exvivo.formats import diva, flowjo, flowjo9, gatingml
from exvivo.formats.delimited import compose_rows, decide_decimal, decode_text, is_number_like, parse_number, sniff_delimiter, split_rows
from exvivo.formats.markup import outermost, parse_markup
from exvivo.formats.populations import NotUnderstoodError
from exvivo.numerics import cells
from exvivo.study.design import SpilloverMatrix

_EXPECTED = "a csv with detectors in the header and one row for each, a FlowJo matrix or a Gating-ML spectrum matrix"
_ACTION = "Export the matrix again"
_SPACE = "{http://www.isac-net.org/std/Gating-ML/v2.0/transformations}"
_TOLERANCE = 1e-6
_QUOTED = re.compile(r'"[^"]*"')


def parse(source: Path | bytes) -> SpilloverMatrix:
    """Matrix of a file.

    Parameters
    ----------
    source : path of a file, or its bytes

    Raises
    ------
    InputError : everything that is wrong with it: not square, no numbers, zeros on the diagonal, two dyes that look the same
    """
    where = source.name if isinstance(source, Path) else "matrix"
    raw = source.read_bytes() if isinstance(source, Path) else source
    first = outermost(raw)
    if first is None:
        return _parse_text(raw, where)
    if first.name == "Workspace":
        parse_workspace = flowjo9.parse if first.version.startswith(("8", "9")) else flowjo.parse
        return _the_one(where, [matrix for own in parse_workspace(source) for matrix in own.tree.matrices.values()])
    if first.name == "bdfacs":
        return _the_one(where, [matrix for own in diva.parse(source) for matrix in own.tree.matrices.values()])
    return _parse_markup(raw, where)


def compose(matrix: SpilloverMatrix) -> bytes:
    r"""Csv of a square matrix whose rows and columns are the same channels; ``parse`` gives the matrix back.

    Raises
    ------
    ValueError : rows and columns are not the same channels

    Examples
    --------
    >>> compose(SpilloverMatrix(("A", "B"), ("A", "B"), ((1.0, 0.25), (0.5, 1.0))))
    b'A,B\n1.0,0.25\n0.5,1.0\n'
    """
    if matrix.fluorochromes != matrix.detectors:
        raise ValueError("only a matrix with the same channels in rows and columns can be written as csv")
    rows = [[repr(float(value)) for value in row] for row in matrix.matrix]
    return compose_rows([list(matrix.detectors), *rows], ",").encode()


def check_channels(where: str, matrix: SpilloverMatrix, channels: Sequence[str]) -> None:
    """Refuse a matrix with detectors that a file lacks.

    Raises
    ------
    InputError : the detectors by name
    """
    if absent := [name for name in matrix.detectors if name not in channels]:
        found = f"the file has no channel {', '.join(absent)}"
        raise InputError(fault(where, found, f"one of {', '.join(channels)}", "Use a matrix made for this panel"))


def _the_one(where: str, found: Sequence[SpilloverMatrix]) -> SpilloverMatrix:
    different = list(dict.fromkeys(found))
    if len(different) != 1:
        raise InputError(fault(where, f"it holds {len(different)} different matrices", "one", "Export the matrix that is meant"))
    return different[0]


def _parse_markup(raw: bytes, where: str) -> SpilloverMatrix:
    root = parse_markup(raw, where, _EXPECTED, bare_type=True)
    found: list[SpilloverMatrix] = []
    for element in root.iter(f"{_SPACE}spilloverMatrix"):
        try:
            channels, rows = flowjo.spillover_of(element)
        except NotUnderstoodError as problem:
            place = f"{where}, line {element.sourceline}"
            raise InputError(fault(place, problem.found, problem.expected, _ACTION)) from problem
        found.append(SpilloverMatrix(channels, channels, rows))
    if etree.QName(root).localname == "Gating-ML":
        found += gatingml.parse(raw).matrices.values()
    return _the_one(where, found)


# text


def _parse_text(raw: bytes, where: str) -> SpilloverMatrix:
    header, named, texts, lines = _rows_of(raw, where)
    faults = [
        fault(where, f"channel '{name}' stands {header.count(name)} times", "once")
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    if len(texts) != len(header) or any(len(row) != len(header) for row in texts):
        widths = sorted({len(row) for row in texts})
        found = f"the matrix is not square: {len(header)} channels, {len(texts)} rows of {' or '.join(map(str, widths)) or 'no'} values"
        faults.append(fault(where, found, "one row and one column for each channel", _ACTION))
    if named and sorted(named) != sorted(header):
        odd = [name for name in named if name not in header] or named
        found = f"rows are called {', '.join(dict.fromkeys(odd))}, which are no channels of the header"
        faults.append(fault(where, found, ", ".join(header), "Name the rows as the columns, or leave their names out"))
    if faults:
        raise InputError(faults)
    values = _numbers(texts, lines, where)
    if named:
        values = values[[named.index(name) for name in header]]
    return _checked(tuple(header), values, where)


def _rows_of(raw: bytes, where: str) -> tuple[list[str], list[str], list[list[str]], list[int]]:
    """Channels, names of the rows (empty if they have none), texts of the values, and their lines."""
    filled = [(line, row) for line, row in _split(decode_text(raw, where).text, where) if any(row)]
    begin = next((at for at, (_, row) in enumerate(filled) if len(row) > 1 and any(map(is_number_like, row))), 0)
    if begin == 0:
        raise InputError(fault(where, "no row of names stands above the numbers", _EXPECTED, "Add a row with the names of the detectors"))
    body = [row for _, row in filled[begin:]]
    is_named = not any(is_number_like(row[0]) for row in body)
    header = [_detector(name) for name in filled[begin - 1][1]]
    if is_named and len(header) == len(body[0]):
        header = header[1:]
    named = [_detector(row[0]) for row in body] if is_named else []
    return header, named, [row[1:] if is_named else row for row in body], [line for line, _ in filled[begin:]]


def _split(text: str, where: str) -> list[tuple[int, list[str]]]:
    """Cells of each line; R separates them with spaces unless told otherwise."""
    if any(mark in _QUOTED.sub("", text) for mark in "\t;,"):
        return [(row.line, [cell.strip() for cell in row.cells]) for row in split_rows(text, sniff_delimiter(text), where)]
    reader = csv.reader(io.StringIO(text), delimiter=" ", skipinitialspace=True)
    return [(line, [cell for cell in row if cell]) for line, row in enumerate(reader, 1)]


def _detector(label: str) -> str:
    """The detector of a label such as ``FITC-A :: CD206``."""
    return label.split(" :: ", maxsplit=1)[0].strip()


def _numbers(texts: Sequence[Sequence[str]], lines: Sequence[int], where: str) -> np.ndarray:
    decimal = decide_decimal([cell for row in texts for cell in row], where)
    faults = [
        fault(f"{where}, line {line}", f"'{cell}' stands where a number should", "a number", _ACTION)
        for line, row in zip(lines, texts, strict=True)
        for cell in row
        if not is_number_like(cell)
    ]
    if faults:
        raise InputError(faults)
    return np.array([[parse_number(cell, decimal) for cell in row] for row in texts], dtype=np.float64)


def _checked(channels: tuple[str, ...], values: np.ndarray, where: str) -> SpilloverMatrix:
    diagonal = np.diag(values)
    if np.all(np.abs(diagonal - 100.0) < 100.0 * _TOLERANCE):
        values = values / 100.0
    elif not np.all(np.abs(diagonal - 1.0) < _TOLERANCE):
        raise InputError(_diagonal_faults(channels, diagonal, where))
    try:
        cells.unmixing(values)
    except ValueError as problem:
        raise InputError(fault(where, str(problem), "a matrix that can be inverted", _ACTION)) from problem
    return SpilloverMatrix(channels, channels, tuple(tuple(float(value) for value in row) for row in values))


def _diagonal_faults(channels: Sequence[str], diagonal: np.ndarray, where: str) -> list[str]:
    empty = [name for name, value in zip(channels, diagonal, strict=True) if value == 0]
    if empty:
        return [fault(where, f"the diagonal is zero for {', '.join(empty)}", "1, or 100 for per cent", _ACTION)]
    shown = ", ".join(f"{name} {value:g}" for name, value in zip(channels, diagonal, strict=True))
    found = f"the diagonal is neither 1 nor 100 throughout: {shown}"
    return [fault(where, found, "1 for parts, 100 for per cent", "Divide every row by its own detector's value")]
