"""REDCap exports: typing of cells, and the words for what cannot be read."""

import pytest

from exvivo.errors import InputError
from exvivo.formats.redcap import (
    Dictionary,
    Field,
    InvalidValue,
    MissingCode,
    checkbox_column,
    parse_choices,
    parse_dictionary,
    parse_export,
)

FIELDS = Dictionary(
    (
        Field("record_id", "base", "text", "id"),
        Field("height", "base", "text", "height", validation="number_2dp_comma_decimal"),
        Field("bmi", "base", "calc", "bmi", calculation="1+1"),
        Field("subset", "base", "radio", "subset", (("1", "dcSSc"), ("2", "lcSSc"))),
        Field("autoab", "base", "checkbox", "antibodies", (("0", "none"), ("1", "ACA"), ("-90", "not asked"))),
        Field("seen", "base", "yesno", "seen", (("1", "Yes"), ("0", "No"))),
        Field("visit", "base", "text", "visit", validation="date_dmy"),
        Field("name", "base", "text", "name", identifier=True),
    )
)
HEAD = "record_id;height;bmi;subset;autoab___0;autoab___1;autoab____90;seen;visit;name;base_complete\n"


def refusal(text: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_export(text.encode(), FIELDS, "clinical.csv")
    return caught.value.messages


def test_each_column_has_its_own_decimal_mark() -> None:
    export = parse_export((HEAD + "007;1,54;22.1;1;0;1;0;1;2026-03-09;Ann;2\n").encode(), FIELDS, "clinical.csv")
    assert export.columns == ("record_id", "height", "bmi", "subset", "autoab", "seen", "visit", "base_complete")
    assert export.rows == (("007", 1.54, 22.1, "1", ("1",), "1", "2026-03-09", "2"),)
    assert export.dropped == ("name",)


def test_labels_and_ticks_of_a_labelled_export_are_read() -> None:
    text = HEAD + "1;;;dcSSc;Unchecked;Checked;Unchecked;Yes;;;Complete\n"
    assert parse_export(text.encode(), FIELDS, "x").rows == (("1", None, None, "dcSSc", ("1",), "Yes", None, "Complete"),)


def test_missing_codes_stay_visible_and_are_never_values() -> None:
    text = HEAD + "1;-999;-999;-999;0;0;1;-999;-999;;2\n"
    (row,) = parse_export(text.encode(), FIELDS, "x", missing_codes=["-999", "-90"]).rows
    assert row[1:7] == (
        MissingCode("-999"),
        MissingCode("-999"),
        MissingCode("-999"),
        MissingCode("-90"),
        MissingCode("-999"),
        MissingCode("-999"),
    )


@pytest.mark.parametrize(
    ("row", "column", "text"),
    [
        ("1;1.54;;;0;0;0;;;;", 1, "1.54"),
        ("1;;2,1;;0;0;0;;;;", 2, "2,1"),
        ("1;;;3;0;0;0;;;;", 3, "3"),
        ("1;;;;0;x;0;;;;", 4, "x"),
        ("1;;;;0;0;0;maybe;;;", 5, "maybe"),
        ("1;;;;0;0;0;;09/03/2026;;", 6, "09/03/2026"),
    ],
)
def test_a_cell_that_breaks_its_validation_is_shown_as_such(row: str, column: int, text: str) -> None:
    (found,) = parse_export((HEAD + row + "\n").encode(), FIELDS, "x").rows
    value = found[column]
    assert isinstance(value, InvalidValue)
    assert value.text == text
    assert value.expected


def test_columns_that_no_field_explains_are_refused_together() -> None:
    messages = refusal("record_id,hight,autoab___0,autoab___7\n1,2,0,0\n")
    assert messages[0].startswith("clinical.csv: column 'hight' is not explained by the dictionary.")
    assert messages[1].startswith("clinical.csv: checkbox 'autoab' lacks autoab___1, autoab____90.")
    assert messages[2].startswith("clinical.csv: column 'autoab___7' is not explained")


def test_a_file_that_is_no_dictionary_is_refused() -> None:
    with pytest.raises(InputError, match=r"d.csv: this is no data dictionary: its first column is 'a'"):
        parse_dictionary(b"a,b\n1,2\n", "d.csv")


def test_faults_of_a_dictionary_are_told_together() -> None:
    text = b'field_name,field_type,select_choices_or_calculations\nA b,text,\nx,radio,1 dcSSc\ny,text,\ny,text,\nz,radio,"1, a | 1, b"\n'
    with pytest.raises(InputError) as caught:
        parse_dictionary(text, "d.csv")
    assert [message.split(".")[1].split(":")[0] for message in caught.value.messages] == [
        "csv, line 2",
        "csv, line 3",
        "csv, line 5",
        "csv, line 6",
    ]


def test_names_of_boxes_and_choices() -> None:
    assert checkbox_column("f", "-90") == "f____90"
    assert parse_choices("") == ()
    with pytest.raises(ValueError, match="has no comma"):
        parse_choices("1 a | 2, b")
