"""Document types: one that only names the outermost element is allowed to those who ask, no other."""

import pytest

from exvivo.errors import InputError
from exvivo.formats.markup import Outermost, outermost, parse_markup


def test_a_bare_document_type_is_allowed_on_request() -> None:
    assert parse_markup(b"<!DOCTYPE W><W/>", "file", "W", bare_type=True).tag == "W"
    with pytest.raises(InputError, match="document type"):
        parse_markup(b"<!DOCTYPE W><W/>", "file", "W")


@pytest.mark.parametrize(
    "told",
    ['SYSTEM "other.dtd"', 'PUBLIC "a" "http://b/c"', '[<!ENTITY a "b">]', '[<!ENTITY % a "b">]', "[<!ELEMENT W ANY>]"],
)
def test_a_document_type_that_says_anything_is_refused(told: str) -> None:
    with pytest.raises(InputError, match="document type"):
        parse_markup(f"<!DOCTYPE W {told}><W/>".encode(), "file", "W", bare_type=True)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'<?xml version="1.0"?><!DOCTYPE Workspace><Workspace flowJoVersion="9.2"><x>', Outermost("Workspace", "9.2")),
        (b'<g:Gating-ML xmlns:g="x"/>', Outermost("Gating-ML", "")),
        (b"gates:\n- name: Cells\n", None),
        (b"", None),
    ],
)
def test_the_first_element_tells_what_a_file_is(raw: bytes, expected: Outermost | None) -> None:
    assert outermost(raw) == expected
