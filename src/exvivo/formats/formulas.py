"""Cells of an xlsx file that the fast reader leaves empty: errors, and formulas whose value was never stored.

In flow the bytes of an archive that was checked; out flows the text of such cells by sheet and place. A
well that Excel shows as ``#N/A`` or ``#DIV/0!`` was not left empty by anybody, and a formula that no
program has computed yet is no empty well either: both are told apart from nothing.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping

from lxml import etree

from exvivo.formats.markup import parse_markup

Lost = Mapping[str, Mapping[tuple[int, int], str]]

_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_STRICT_RELATION = "{http://purl.oclc.org/ooxml/officeDocument/relationships}id"
_ERROR = re.compile(rb"""t=["']e["']""")
_UNCOMPUTED = re.compile(rb"""</(?:\w+:)?f>\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>""")
_PLACE = re.compile(r"([A-Z]{1,3})([1-9]\d*)")
_EXPECTED = "a workbook that Excel can open"


def lost_cells(data: bytes) -> Lost:
    """Text of error cells and of formulas without a stored value, by sheet and 0-based place; nothing for other archives.

    Raises
    ------
    InputError : a part that is needed is no XML
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = {}
        for name, part in _sheet_parts(archive):
            raw = archive.read(part)
            if _ERROR.search(raw) or _UNCOMPUTED.search(raw):
                found[name] = dict(_lost(parse_markup(raw, part, _EXPECTED)))
        return found


def _sheet_parts(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Name and part of each sheet."""
    names = set(archive.namelist())
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
        return
    relations = parse_markup(archive.read("xl/_rels/workbook.xml.rels"), "xl/_rels/workbook.xml.rels", _EXPECTED)
    targets = {one.get("Id"): posixpath.normpath(posixpath.join("/xl", one.get("Target", ""))).lstrip("/") for one in relations}
    book = parse_markup(archive.read("xl/workbook.xml"), "xl/workbook.xml", _EXPECTED)
    for sheet in book.iter("{*}sheet"):
        part = targets.get(sheet.get(_RELATION) or sheet.get(_STRICT_RELATION))
        if part in names and part is not None:
            yield sheet.get("name", ""), part


def _lost(root: etree._Element) -> Iterator[tuple[tuple[int, int], str]]:
    """Place and text of the lost cells of one sheet."""
    for cell in root.iter("{*}c"):
        match = _PLACE.fullmatch(cell.get("r", ""))
        if match is None:
            continue
        value, formula = cell.find("{*}v"), cell.find("{*}f")
        text = "" if value is None else value.text or ""
        if cell.get("t") == "e":
            yield _place(match), text or "#ERROR!"
        elif formula is not None and not text and cell.get("t") != "str" and cell.find("{*}is") is None:
            yield _place(match), f"={formula.text or ''}"


def _place(match: re.Match[str]) -> tuple[int, int]:
    """0-based row and column of a place such as C5."""
    column = 0
    for letter in match[1]:
        column = 26 * column + ord(letter) - ord("A") + 1
    return int(match[2]) - 1, column - 1
