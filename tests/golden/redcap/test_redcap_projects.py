"""Test projects of REDCap: what the typed export must hold."""

from pathlib import Path

import pytest

from exvivo.formats.redcap import Dictionary, Export, InvalidValue, Value, parse_dictionary, parse_export


def read(shared_data: Path, project: str, dictionary: str = "dictionary.csv") -> tuple[Dictionary, Export]:
    folder = shared_data / "clinical" / "redcap" / project
    fields = parse_dictionary((folder / dictionary).read_bytes(), f"{project}/{dictionary}")
    return fields, parse_export((folder / "data.csv").read_bytes(), fields, f"{project}/data.csv")


def column(export: Export, name: str) -> list[Value]:
    at = export.columns.index(name)
    return [row[at] for row in export.rows]


@pytest.mark.parametrize(
    ("project", "rows"),
    [
        ("arm-single-longitudinal", 9),
        ("checkboxes-1", 4),
        ("longitudinal", 18),
        ("nonnumeric-record-id", 3),
        ("repeating-instruments", 6),
        ("validation-types-1", 1),
    ],
)
def test_every_project_is_read_without_an_invalid_cell(shared_data: Path, project: str, rows: int) -> None:
    _, export = read(shared_data, project)
    assert len(export.rows) == rows
    assert not any(isinstance(value, InvalidValue) for row in export.rows for value in row)


def test_checkboxes_are_folded_and_none_ticked_is_missing(shared_data: Path) -> None:
    _, export = read(shared_data, "checkboxes-1")
    assert column(export, "check_one") == [("1",), None, ("1", "2", "3", "4"), None]
    assert column(export, "check_two") == [("a", "c"), ("b", "d"), None, None]


def test_identifiers_are_dropped_and_named(shared_data: Path) -> None:
    _, export = read(shared_data, "simple")
    assert export.dropped == ("name_first", "name_last", "address", "telephone", "email", "dob")
    assert not {"name_first", "dob"} & set(export.columns)
    assert "Nutmouse" not in repr(export.rows)


def test_numbers_logical_codes_and_lines_of_the_simple_project(shared_data: Path) -> None:
    _, export = read(shared_data, "simple")
    assert column(export, "height")[:2] == [7.0, 6.0]
    assert column(export, "bmi")[0] == 204.1
    assert column(export, "sex") == ["0", "1", "1", "0", "1"]
    assert column(export, "race")[0] == ("5",)
    assert export.lines == (2, 4, 6, 8, 13)


def test_both_header_styles_give_the_same_fields(shared_data: Path) -> None:
    web, _ = read(shared_data, "simple")
    api, _ = read(shared_data, "simple", "metadata.csv")
    assert [(field.name, field.form, field.choices, field.identifier) for field in api.fields if field.name != "age"] == [
        (field.name, field.form, field.choices, field.identifier) for field in web.fields if field.name != "age"
    ]


def test_repeats_and_events_stay_rows_and_columns(shared_data: Path) -> None:
    _, export = read(shared_data, "repeating-instruments")
    assert column(export, "record_id") == ["1", "1", "1", "1", "2", "2"]
    assert column(export, "redcap_repeat_instance") == [None, "1", "2", "3", None, "1"]
    assert column(export, "bp_systolic") == [None, 110.0, 111.0, 112.0, None, 114.0]
    _, events = read(shared_data, "longitudinal")
    assert column(events, "redcap_event_name")[0] == "enrollment_arm_1"


def test_values_older_than_their_validation_are_shown_not_trusted(shared_data: Path) -> None:
    _, export = read(shared_data, "potentially-problematic-values")
    assert (
        column(export, "integer_before_validation")
        == [InvalidValue("before validation 1", "a number with '.' as decimal mark, or a missing code")] * 2
    )
    assert isinstance(column(export, "date_before_validation")[0], InvalidValue)
    assert column(export, "time_1") == ["2010-01-02", "55:02"]


def test_comma_validations_are_known(shared_data: Path) -> None:
    fields, _ = read(shared_data, "validation-types-1")
    found = [field.name for field in fields.fields if field.decimal == ","]
    assert found == [f"v_number{digits}_comma_decimal" for digits in ("", "_1dp", "_2dp", "_3dp", "_4dp")]
