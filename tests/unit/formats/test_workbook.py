"""Workbooks: what is refused, what keeps its type, and that the same sheets give the same bytes."""

import datetime as dt
import io
import zipfile

import pytest

from exvivo.errors import InputError
from exvivo.formats import workbook as module
from exvivo.formats.workbook import Sheet, Workbook, cell_origin, cell_text, check_archive, compose_workbook, parse_workbook

MIXED = Workbook(
    (
        Sheet("OD", ((1.0, "1", True, dt.datetime(2020, 1, 2, 3, 4, 5)), (), ("", " x", "=1+1", 0.1))),  # noqa: DTZ001 - a sheet knows no zone
        Sheet("empty", ()),
    )
)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return buffer.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(InputError) as caught:
        parse_workbook(data, "P1.xlsx")
    return str(caught.value)


def test_text_and_numbers_keep_their_type_and_their_place() -> None:
    assert parse_workbook(compose_workbook(MIXED), "x.xlsx") == MIXED
    assert MIXED.sheets[0].cell(2, 2) == "=1+1"
    assert MIXED.sheets[0].cell(9, 9) == ""
    assert cell_origin("OD", 2, 3) == "OD!D3"


def test_the_creation_date_is_fixed_in_the_file() -> None:
    with zipfile.ZipFile(io.BytesIO(compose_workbook(MIXED))) as parts:
        assert b"2000-01-01T00:00:00Z" in parts.read("docProps/core.xml")
        assert {part.date_time for part in parts.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(("cell", "text"), [(96.0, "96"), (0.5, "0.5"), (True, "TRUE"), ("0,5", "0,5"), (1e300, "1e+300")])
def test_text_of_a_cell(cell: str | float | bool, text: str) -> None:  # noqa: FBT001 - a cell may be a truth value
    assert cell_text(cell) == text


def test_other_bytes_are_refused() -> None:
    assert refusal(b"") == "P1.xlsx: the file is empty. Expected an Excel file (xlsx or xls). Save it again as xlsx."
    assert refusal(b"a,b\n").startswith("P1.xlsx: the file is not a workbook.")
    assert refusal(archive(x=b"1")).startswith("P1.xlsx: the workbook cannot be opened")
    assert refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600).startswith("P1.xlsx: the workbook cannot be opened")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_a_truncated_workbook_is_refused(kept: float) -> None:
    data = compose_workbook(MIXED)
    assert refusal(data[: int(kept * len(data))]).startswith("P1.xlsx: the archive is damaged or cut off")


def test_archives_that_unpack_to_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "packed more than 200-fold" in refusal(archive(a=b"0" * 11_000_000))
    monkeypatch.setattr(module, "MAX_MEMBERS", 2)
    assert "3 parts inside, more than 2" in refusal(archive(a=b"", b=b"", c=b""))
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1_000_000)
    assert "unpacks to more than 1 MB" in refusal(archive(a=b"0" * 600_000, b=b"1" * 600_000))


def test_a_doctype_is_refused() -> None:
    assert "part 'a' declares a DOCTYPE" in refusal(archive(a=b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "b">]>'))


def test_a_size_that_lies_is_refused() -> None:
    data = bytearray(archive(a=b"0" * 5_000))
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    with pytest.raises(InputError, match="damaged or cut off"):
        check_archive(bytes(data), "P1.xlsx")


def test_names_that_excel_refuses_cannot_be_composed() -> None:
    with pytest.raises(ValueError, match="cannot be the name of a sheet"):
        compose_workbook(Workbook((Sheet("a/b", ()),)))
    with pytest.raises(ValueError, match="at least one sheet"):
        compose_workbook(Workbook(()))
