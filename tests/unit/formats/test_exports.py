"""The recogniser: specific formats first, plain grids last, unknown layouts refused with what was seen."""

from collections.abc import Callable

import pytest

from exvivo.errors import InputError
from exvivo.formats import envision, gen5, grid, kaleido, magellan, mars, skanit, softmax
from exvivo.formats.exports import FORMATS, parse_export, recognise
from exvivo.formats.workbook import Sheet, Workbook, compose_workbook
from exvivo.study.design import ExportRecord, PlateRecord, ReadingStatus, SignalKind, WellReading, well_name

WELLS = [well_name(row, column) for row in range(8) for column in range(12)]
PLATE = PlateRecord("P1", 1, 8, 12, tuple(WellReading(well, 450, 0.5, ReadingStatus.OK, SignalKind.RAW, "0.5", "") for well in WELLS))
RECORD = ExportRecord("any", (PLATE,))


@pytest.mark.parametrize(
    ("compose", "parse"),
    [
        (skanit.compose, skanit.parse),
        (softmax.compose, softmax.parse),
        (gen5.compose, gen5.parse),
        (magellan.compose, magellan.parse),
        (mars.compose, mars.parse),
        (kaleido.compose, kaleido.parse),
        (envision.compose, envision.parse),
        (grid.compose, grid.parse),
        (grid.compose_text, grid.parse),
    ],
)
def test_each_format_is_recognised(compose: Callable[[ExportRecord], bytes], parse: object) -> None:
    data = compose(RECORD)
    assert recognise("x", data) is parse
    assert [one.signal for one in parse_export("x", data).plates[0].readings] == [0.5] * 96


def test_an_unknown_text_is_refused_with_its_first_lines() -> None:
    with pytest.raises(InputError) as caught:
        recognise("P1.txt", b"Reader X\n\nBarcode;77\nno grid here\n")
    assert str(caught.value) == (
        "P1.txt: the layout of this export is unknown; it begins: 'Reader X' / 'Barcode;77' / 'no grid here'. "
        f"Expected one of {', '.join(known.name for known in FORMATS)}. "
        "Export the raw readings as a plate-shaped grid in csv or xlsx."
    )


def test_an_unknown_workbook_is_refused_with_its_first_cells() -> None:
    with pytest.raises(InputError, match=r"it begins: 'Data: Reader X \| 7'"):
        recognise("P1.xlsx", compose_workbook(Workbook((Sheet("Data", (("Reader X", 7.0),)),))))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 broken", b"\x00\x01\x02"])
def test_unreadable_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^P1:"):
        recognise("P1", data)
