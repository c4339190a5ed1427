"""REDCap: data dictionary and raw export as csv -> typed records; and back.

In flow the bytes of a dictionary (web headers or API headers) and of an export; out flow the
fields and one typed row per line of the export. Checkbox columns ``f___1`` are folded into one
value that holds the ticked codes; none ticked is missing, because REDCap prints 0 for a form that
nobody opened. The decimal mark follows from each field's validation, since one file mixes both.
Missing-data codes stay visible as :class:`MissingCode`, cells that break their validation as
:class:`InvalidValue`: one bad cell of an unused field must not stop a study. Repeat and event columns are kept as
columns. Fields marked as identifiers are dropped here, before anything else sees them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exvivo.errors import InputError, fault
from exvivo.formats.delimited import DelimitedTable, compose_rows, parse_number, parse_table

_WEB = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label", "Choices, Calculations, OR Slider Labels",
    "Field Note", "Text Validation Type OR Show Slider Number", "Text Validation Min", "Text Validation Max", "Identifier?",
    "Branching Logic (Show field only if...)", "Required Field?", "Custom Alignment", "Question Number (surveys only)",
    "Matrix Group Name", "Matrix Ranking?", "Field Annotation",
)  # fmt: skip
_API = (
    "field_name", "form_name", "section_header", "field_type", "field_label", "select_choices_or_calculations",
    "field_note", "text_validation_type_or_show_slider_number", "text_validation_min", "text_validation_max", "identifier",
    "branching_logic", "required_field", "custom_alignment", "question_number",
    "matrix_group_name", "matrix_ranking", "field_annotation",
)  # fmt: skip
_NEEDED = (0, 3)
_LABEL = 4
CONTEXT_COLUMNS = (
    "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance", "redcap_data_access_group", "redcap_survey_identifier",
)  # fmt: skip
_CHOICE_TYPES = {"radio", "dropdown", "checkbox"}
_TICKED = {"1": True, "Checked": True, "0": False, "Unchecked": False, "": False}
_LOGICAL = {"TRUE": "1", "FALSE": "0"}  # how spreadsheets and R write the codes of a 0/1 field back
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2})?)?")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a dictionary. ``choices`` maps code to label in order; yes/no and true/false carry theirs."""

    name: str
    form: str
    type: str
    label: str
    choices: tuple[tuple[str, str], ...] = ()
    validation: str = ""
    minimum: str = ""
    maximum: str = ""
    identifier: bool = False
    calculation: str = ""

    @property
    def decimal(self) -> str | None:
        """Decimal mark that the field's type or validation fixes: None for fields that hold text."""
        if self.validation.startswith("number") and self.validation.endswith("comma_decimal"):
            return ","
        return "." if self.validation.startswith("number") or self.validation == "integer" or self.type in {"calc", "slider"} else None


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Fields in order."""

    fields: tuple[Field, ...]
    notes: tuple[str, ...] = ()

    def field(self, name: str) -> Field | None:
        """Field of a name, or None."""
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True)
class MissingCode:
    """A cell that holds one of the project's codes for missing data, as printed."""

    code: str


@dataclass(frozen=True, slots=True)
class InvalidValue:
    """A cell that breaks the field's type or validation: typed in before the validation was added, or changed by a spreadsheet."""

    text: str
    expected: str


Value = str | float | tuple[str, ...] | MissingCode | InvalidValue | None


@dataclass(frozen=True, slots=True)
class Export:
    """Typed rows of an export. ``columns`` are field names (checkboxes folded), context columns and ``*_complete``.

    Values are text, numbers, ticked codes, a missing code, an invalid value, or None for an empty cell. ``lines`` as in the file.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    lines: tuple[int, ...]
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse_dictionary(data: bytes, where: str) -> Dictionary:
    """Fields of a data dictionary with either header style.

    Raises
    ------
    InputError : all at once: no dictionary header, a field without name or twice, choices that are none
    """
    table = parse_table(data, where)
    names = [name.strip().lower() for name in table.header]
    style = next((style for style in (_WEB, _API) if all(style[at].lower() in names for at in _NEEDED)), None)
    if style is None:
        expected = f"'{_WEB[0]}' and '{_WEB[3]}', or '{_API[0]}' and '{_API[3]}'"
        raise InputError(fault(where, f"this is no data dictionary: its first column is '{table.header[0]}'", expected))
    places = [names.index(name.lower()) if name.lower() in names else None for name in style]
    fields: list[Field] = []
    faults: list[str] = []
    for line, row in zip(table.lines, table.rows, strict=True):
        # R writes NA for what is empty; a label may read NA ("not available")
        cells = ["" if at is None or (row[at].strip() == "NA" and part != _LABEL) else row[at].strip() for part, at in enumerate(places)]
        place = f"{where}, line {line}"
        if not re.fullmatch(r"[a-z][a-z0-9_]*", cells[0]):
            faults.append(fault(place, f"field name '{cells[0]}'", "small letters, digits and underscores"))
            continue
        if any(field.name == cells[0] for field in fields):
            faults.append(fault(place, f"field '{cells[0]}' stands twice", "each field once"))
        try:
            fields.append(_parse_field(cells))
        except ValueError as error:
            faults.append(fault(place, f"field '{cells[0]}': {error}", "'code, label | code, label'"))
    if faults:
        raise InputError(faults)
    return Dictionary(tuple(fields), table.notes)


def _parse_field(cells: Sequence[str]) -> Field:
    """One row of a dictionary, cells in the web order."""
    kind = cells[3].lower()
    choices = parse_choices(cells[5]) if kind in _CHOICE_TYPES else _fixed_choices(kind)
    calculation = cells[5] if kind not in _CHOICE_TYPES else ""
    identifier = cells[10].lower() in {"y", "yes", "1"}
    return Field(cells[0], cells[1], kind, cells[4], choices, cells[7], cells[8], cells[9], identifier, calculation)


def _fixed_choices(kind: str) -> tuple[tuple[str, str], ...]:
    """Choices of the types whose codes REDCap fixes."""
    return {"yesno": (("1", "Yes"), ("0", "No")), "truefalse": (("1", "True"), ("0", "False"))}.get(kind, ())


def parse_choices(text: str) -> tuple[tuple[str, str], ...]:
    """Choices of a field; labels may hold commas.

    Raises
    ------
    ValueError : a choice without a comma, or a code twice

    >>> parse_choices("1, dcSSc | 2, lcSSc, limited")
    (('1', 'dcSSc'), ('2', 'lcSSc, limited'))
    """
    choices = []
    for part in filter(str.strip, text.split("|")):
        code, comma, label = part.partition(",")
        if not comma:
            raise ValueError(f"choice '{part.strip()}' has no comma between code and label")
        choices.append((code.strip(), label.strip()))
    if len({code for code, _ in choices}) < len(choices):
        raise ValueError(f"a code stands twice in '{text}'")
    return tuple(choices)


def checkbox_column(field: str, code: str) -> str:
    """Column of one box: a sign in the code becomes an underscore, letters become small.

    >>> checkbox_column("autoab", "-90"), checkbox_column("meds", "A")
    ('autoab____90', 'meds___a')
    """
    return f"{field}___{re.sub(r'[^a-z0-9_]', '_', code.lower())}"


def parse_export(
    data: bytes, dictionary: Dictionary, where: str, *, missing_codes: Iterable[str] = (), decimal: str | None = None
) -> Export:
    """Typed rows of a raw or labelled export.

    Parameters
    ----------
    missing_codes : the project's codes for missing data
    decimal : decimal mark that someone declares for all numbers; absent: each field's validation tells it

    Raises
    ------
    InputError : all at once: columns that no field explains, missing boxes of a checkbox
    """
    table = parse_table(data, where)
    codes = frozenset(missing_codes)
    plan, faults = _plan(table, dictionary, where)
    dropped = tuple(field.name for field in dictionary.fields if field.identifier and _is_present(field, table))
    columns: list[str] = []
    values: list[list[Value]] = []
    for name, field, places in plan:
        if field is not None and field.identifier:
            continue
        cells = [tuple(row[at].strip() for at in places) for row in table.rows]
        columns.append(name)
        folded = field is not None and field.type == "checkbox"
        values.append([_fold(field, row, codes) if field and folded else _typed(field, row[0], codes, decimal) for row in cells])
    if faults:
        raise InputError(faults)
    notes = (f"identifiers dropped: {', '.join(dropped)}",) if dropped else ()
    return Export(tuple(columns), tuple(zip(*values, strict=True)), table.lines, dropped, (*table.notes, *notes))


def _is_present(field: Field, table: DelimitedTable) -> bool:
    """Whether an export holds a field."""
    return field.name in table.header or any(name.startswith(f"{field.name}___") for name in table.header)


_Plan = list[tuple[str, Field | None, tuple[int, ...]]]


def _plan(table: DelimitedTable, dictionary: Dictionary, where: str) -> tuple[_Plan, list[str]]:
    """Folded columns in file order, with the places of their cells; and the columns that cannot be explained."""
    plan: _Plan = []
    faults: list[str] = []
    boxes = {
        checkbox_column(field.name, code): field for field in dictionary.fields if field.type == "checkbox" for code, _ in field.choices
    }
    forms = {f"{field.form}_complete" for field in dictionary.fields} | {f"{field.form}_timestamp" for field in dictionary.fields}
    for at, name in enumerate(table.header):
        box = boxes.get(name)
        field = dictionary.field(name)
        if box is not None:
            wanted = [checkbox_column(box.name, code) for code, _ in box.choices]
            absent = [column for column in wanted if column not in table.header]
            if absent and name == next(column for column in wanted if column in table.header):
                faults.append(
                    fault(where, f"checkbox '{box.name}' lacks {', '.join(absent)}", "one column for each choice", "Export all choices")
                )
            if not absent and box.name not in {known for known, _, _ in plan}:
                plan.append((box.name, box, tuple(table.header.index(column) for column in wanted)))
        elif field is not None or name in CONTEXT_COLUMNS or name in forms:
            plan.append((name, field, (at,)))
        else:
            expected = "a field of the dictionary, a checkbox 'field___code', or 'form_complete'"
            faults.append(fault(where, f"column '{name}' is not explained by the dictionary", expected, "Export the dictionary again"))
    return plan, faults


def _fold(field: Field, cells: Sequence[str], codes: frozenset[str]) -> Value:
    """Ticked codes of a checkbox; None when no box is ticked."""
    ticks = []
    for (code, label), cell in zip(field.choices, cells, strict=True):
        ticked = True if cell and cell == label else _TICKED.get(cell)
        if ticked is None and cell not in codes:
            return InvalidValue(cell, f"0 or 1, Unchecked or Checked, for box '{code}'")
        if ticked:
            ticks.append(code)
    if len(ticks) == 1 and ticks[0] in codes:
        return MissingCode(ticks[0])
    return tuple(ticks) or None


def _typed(field: Field | None, cell: str, codes: frozenset[str], declared: str | None) -> Value:
    """Value of one plain cell: empty, a missing code, a number where the field is one, else checked text."""
    if not cell or field is None:
        return cell or None
    if cell in codes:
        return MissingCode(cell)
    if field.decimal is not None:
        decimal = declared or field.decimal
        try:
            return parse_number(cell, decimal)
        except ValueError:
            return InvalidValue(cell, f"a number with '{decimal}' as decimal mark, or a missing code")
    if {code for code, _ in field.choices} == {"0", "1"} and cell in _LOGICAL:
        return _LOGICAL[cell]
    expected = _text_fault(field, cell)
    return InvalidValue(cell, expected) if expected else cell


def _text_fault(field: Field, cell: str) -> str:
    """What a text cell should have been; empty if it is right. Labels are accepted in place of codes."""
    if field.choices and cell not in {text for choice in field.choices for text in choice}:
        return "one of " + ", ".join(f"{code} ({label})" for code, label in field.choices)
    if field.validation.startswith(("date_", "datetime_")) and not _DATE.fullmatch(cell):
        return "an ISO date such as 2026-03-09, as in a raw export"
    return ""


def compose_dictionary(dictionary: Dictionary, *, api: bool = False) -> bytes:
    """Bytes of a dictionary, with web headers or with the API's."""
    header = _API if api else _WEB
    rows = []
    for field in dictionary.fields:
        choices = " | ".join(f"{code}, {label}" for code, label in field.choices) if field.type in _CHOICE_TYPES else field.calculation
        known = {
            0: field.name,
            1: field.form,
            3: field.type,
            4: field.label,
            5: choices,
            7: field.validation,
            8: field.minimum,
            9: field.maximum,
        }
        known[10] = "y" if field.identifier else ""
        rows.append([known.get(at, "") for at in range(len(header))])
    return compose_rows([header, *rows], ",").encode()


def compose_export(export: Export, dictionary: Dictionary) -> bytes:
    """Bytes of a raw export: checkboxes unfolded to 0 and 1, numbers with the mark of their validation."""
    header: list[str] = []
    for name in export.columns:
        field = dictionary.field(name)
        boxes = [checkbox_column(name, code) for code, _ in field.choices] if field is not None and field.type == "checkbox" else [name]
        header += boxes
    rows = [
        [text for name, value in zip(export.columns, row, strict=True) for text in _cell_texts(dictionary.field(name), value)]
        for row in export.rows
    ]
    return compose_rows([header, *rows], ",").encode()


def _cell_texts(field: Field | None, value: Value) -> list[str]:
    """Cells of one value."""
    if field is not None and field.type == "checkbox":
        ticked: Mapping[str, bool] = dict.fromkeys(value if isinstance(value, tuple) else (), True)
        if isinstance(value, MissingCode):
            ticked = {value.code: True}
        return ["1" if code in ticked else "0" for code, _ in field.choices]
    if isinstance(value, MissingCode):
        return [value.code]
    if isinstance(value, InvalidValue):
        return [value.text]
    if isinstance(value, float):
        text = str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        return [text.replace(".", field.decimal or ".") if field is not None else text]
    return ["" if value is None else str(value)]
