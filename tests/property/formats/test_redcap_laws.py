"""Laws of REDCap files: dictionaries and exports survive composing and parsing."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from exvivo.formats.redcap import (
    Dictionary,
    Export,
    Field,
    MissingCode,
    Value,
    compose_dictionary,
    compose_export,
    parse_dictionary,
    parse_export,
)

LABELS = st.from_regex(r"[A-Za-z][A-Za-z ,]{0,8}[A-Za-z]", fullmatch=True)
CODES = st.lists(st.integers(-20, 20).map(str), min_size=1, max_size=4, unique=True)
CHOICES = CODES.flatmap(lambda codes: st.tuples(*(st.tuples(st.just(code), LABELS) for code in codes)))
MISSING = "-999"


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    kind = draw(st.sampled_from(["text", "notes", "radio", "checkbox", "calc"]))
    validation = draw(st.sampled_from(["", "integer", "number", "number_2dp_comma_decimal"])) if kind == "text" else ""
    choices = draw(CHOICES) if kind in {"radio", "checkbox"} else ()
    return Field(name, "form_1", kind, draw(LABELS), choices, validation, calculation="[a]+1" if kind == "calc" else "")


DICTIONARIES = (
    st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True), min_size=1, max_size=5, unique=True)
    .flatmap(lambda names: st.tuples(*(fields(name) for name in names)))
    .map(Dictionary)
)


def values(field: Field) -> st.SearchStrategy[Value]:
    empty: st.SearchStrategy[Value] = st.sampled_from([None, MissingCode(MISSING)])
    if field.type == "checkbox":
        codes = [code for code, _ in field.choices]
        return st.none() | st.lists(st.sampled_from(codes), min_size=1, unique=True).map(
            lambda found: tuple(code for code in codes if code in found)
        )
    if field.type == "radio":
        return empty | st.sampled_from([code for code, _ in field.choices])
    if field.decimal is not None:
        return empty | st.floats(-1e9, 1e9)
    return empty | LABELS


@st.composite
def exports(draw: st.DrawFn) -> tuple[Dictionary, Export]:
    dictionary = draw(DICTIONARIES)
    columns = tuple(field.name for field in dictionary.fields)
    keys = draw(st.lists(st.integers(1, 99).map(str), max_size=5))
    rows = tuple((key, *(draw(values(field)) for field in dictionary.fields)) for key in keys)
    return dictionary, Export(("redcap_repeat_instance", *columns), rows, tuple(range(2, len(rows) + 2)))


@given(DICTIONARIES, st.booleans())
@example(Dictionary((Field("a", "form_1", "text", "NA"),)), False)
def test_parsing_a_composed_dictionary_gives_the_fields(dictionary: Dictionary, api: bool) -> None:  # noqa: FBT001 - drawn, not called
    assert parse_dictionary(compose_dictionary(dictionary, api=api), "d.csv") == dictionary


@settings(deadline=None)
@given(exports())
def test_parsing_a_composed_export_gives_the_rows(pair: tuple[Dictionary, Export]) -> None:
    dictionary, export = pair
    assert parse_export(compose_export(export, dictionary), dictionary, "x.csv", missing_codes=[MISSING]) == export
