"""Every way in which FCS files tell spillover."""

import numpy as np
import pytest

from exvivo.formats import fcs
from exvivo.study.design import Channel, EventsRecord, SpilloverMatrix

EVENTS = np.zeros((1, 4), dtype=np.float32)
FLUORESCENCES = ((1.0, 0.1), (0.2, 1.0))


def record_of(keywords: dict[str, str], names: tuple[str, ...] = ("FSC-A", "FL1-A", "FL2-A", "Time")) -> EventsRecord:
    raw = fcs.compose(EVENTS[:, : len(names)], [Channel(name, "", 1024.0) for name in names], keywords=keywords)
    (record,) = fcs.parse(raw)
    return record


@pytest.mark.parametrize("key", ["$SPILLOVER", "SPILLOVER", "$SPILL", "SPILL", "$COMP", "COMP"])
@pytest.mark.parametrize(
    "text", ["2,FL1-A,FL2-A,1,0.1,0.2,1", "2, FL1-A, FL2-A, 1.0, 1e-1, .2, 1.", "2\tFL1-A\tFL2-A\t1\t0.1\t0.2\t1", "2,2,3,1,0.1,0.2,1"]
)
def test_matrices_with_names_or_numbers(key: str, text: str) -> None:
    found = record_of({key: text}).spillover
    assert found == SpilloverMatrix(("FL1-A", "FL2-A"), ("FL1-A", "FL2-A"), FLUORESCENCES)


def test_names_with_commas_are_put_together_again() -> None:
    record = record_of({"SPILL": "2,FITC, green,PE,yellow,1,0.1,0.2,1"}, ("FITC, green", "PE,yellow"))
    assert record.spillover == SpilloverMatrix(("FITC, green", "PE,yellow"), ("FITC, green", "PE,yellow"), FLUORESCENCES)


@pytest.mark.parametrize(
    "text",
    [
        "2,FL1-A,FL2-A",
        "2,FL1-A,FL2-A,1,0.1,0.2",
        "2,FL1-A,FL1-A,1,0.1,0.2,1",
        "2,FL1-A,FL2-A,1,0.1,nan,1",
        "0",
        "99999999999999999999",
        "-2,FL1-A,FL2-A,1,0.1,0.2,1",
        "2,2,2,1,0,0,1",
        "x",
        "1,0.5",
    ],
)
def test_what_is_no_matrix_is_named_and_not_used(text: str) -> None:
    record = record_of({"$SPILLOVER": text})
    assert record.spillover is None
    assert any("$SPILLOVER" in issue and "not" in issue for issue in record.issues)


def test_comp_of_fcs_30_without_names_is_not_guessed() -> None:
    assert record_of({"$COMP": "2,1,0.1,0.2,1"}, ("A", "B")).spillover is None
    identity = record_of({"$COMP": "2,1,0,0,1"}, ("A", "B")).spillover
    assert identity == SpilloverMatrix(("A", "B"), ("A", "B"), ((1, 0), (0, 1)))


def test_percentages_one_by_one_follow_the_numbers_in_names() -> None:
    """Values of a Navios file: FITC in PE 13.4 %, PE in FITC 1.2 %."""
    record = record_of({"$DFC1TO2": "13.4", "$DFC2TO1": "1.2", "$DFC1TO3": "0.0"}, ("FS INT LIN", "FL1 INT LOG", "FL2 INT LOG", "TIME"))
    assert record.spillover == SpilloverMatrix(("FL1 INT LOG", "FL2 INT LOG"), ("FL1 INT LOG", "FL2 INT LOG"), ((1, 0.134), (0.012, 1)))
    assert any("1 = FL1 INT LOG, 2 = FL2 INT LOG" in issue for issue in record.issues)


def test_percentages_without_numbers_in_names_follow_the_order() -> None:
    record = record_of({"$DFC1TO2": "10", "$DFC2TO1": "20"}, ("FS", "FITC", "PE", "TIME"))
    assert record.spillover == SpilloverMatrix(("FITC", "PE"), ("FITC", "PE"), FLUORESCENCES)


@pytest.mark.parametrize(
    ("keywords", "names"),
    [
        ({"$DFC1TO3": "28.4"}, ("FS", "FL1", "FL2")),
        ({"$DFC1TO2": "x"}, ("FS", "FL1", "FL2")),
        ({"$DFC1TO1": "5"}, ("FS", "FL1", "FL2")),
        ({"$DFC1TO2": "28.4"}, ("FL1 Lin", "FL1 Log", "FL2")),
    ],
)
def test_percentages_that_do_not_fit_are_named_and_not_used(keywords: dict[str, str], names: tuple[str, ...]) -> None:
    record = record_of(keywords, names)
    assert record.spillover is None
    assert any("$DFCiTOj do not fit" in issue for issue in record.issues)


def test_unknown_channels_are_named() -> None:
    record = record_of({"SPILL": "1,FL9-A,1"})
    assert record.spillover == SpilloverMatrix(("FL9-A",), ("FL9-A",), ((1,),))
    assert any("FL9-A" in issue for issue in record.issues)


def test_first_matrix_that_can_be_understood_is_used_and_another_one_told() -> None:
    """MACSQuant writes $SPILLOVER with names alone; exports by other software carry two that differ."""
    record = record_of({"$SPILLOVER": "2,FL1-A,FL2-A", "SPILL": "2,FL1-A,FL2-A,1,0.1,0.2,1"})
    assert record.spillover == SpilloverMatrix(("FL1-A", "FL2-A"), ("FL1-A", "FL2-A"), FLUORESCENCES)
    record = record_of({"$SPILLOVER": "2,FL1-A,FL2-A,1,0.1,0.2,1", "SPILL": "2,FL1-A,FL2-A,1,0,0,1"})
    assert record.spillover == SpilloverMatrix(("FL1-A", "FL2-A"), ("FL1-A", "FL2-A"), FLUORESCENCES)
    assert record.issues == ("SPILL differs from $SPILLOVER, which is used",)
