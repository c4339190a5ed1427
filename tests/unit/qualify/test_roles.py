import numpy as np
import pytest

from exvivo.qualify.cases import Case, Columns
from exvivo.qualify.procedures.roles import differences, groups_of, only_measurement, sorted_levels, two_measurements, within_donors


def _case(**columns: str) -> Case:
    return Case("c00", (Columns({name: tuple(cells.split()) for name, cells in columns.items()}),), {}, {}, optional=False)


def test_two_measurements_leave_out_identifiers_and_rows_with_a_gap() -> None:
    comparator, treated = two_measurements(_case(id="1 2 3", before_="5 6 NA", after="7 9 8"))
    assert (comparator.tolist(), treated.tolist()) == ([5, 6], [7, 9])


def test_comparator_is_known_by_its_name_wherever_it_stands() -> None:
    assert differences(_case(donor="A B", ruxolitinib="1 2", vehicle="3 5")).tolist() == [-2, -3]
    assert differences(_case(donor="A B", tofacitinib="1 2", none="3 5")).tolist() == [-2, -3]
    assert differences(_case(donor="A B", dmso="3 5", drug="1 2")).tolist() == [-2, -3]


def test_a_single_column_holds_the_differences() -> None:
    assert differences(_case(donor="A B", d="3 -5")).tolist() == [3, -5]
    assert differences(_case(id="1 2", d="3 -5")).tolist() == [3, -5]
    assert differences(_case(a="1 2", b="3 5")).tolist() == [2, 3]
    assert only_measurement(_case(id="1 2 3", d="3 -5 NA")).tolist() == [3, -5]


@pytest.mark.parametrize("order", [("y", "g"), ("g", "y")])
def test_groups_come_in_order_of_appearance(order: tuple[str, str]) -> None:
    cells = {"y": "1.5 2 NA 4", "g": "SSc HD SSc SSc"}
    groups = groups_of(_case(**{name: cells[name] for name in order}))
    assert {group: values.tolist() for group, values in groups.items()} == {"SSc": [1.5, 4], "HD": [2]}
    assert list(groups) == ["SSc", "HD"]


def test_a_donor_column_is_no_group() -> None:
    assert list(groups_of(_case(donor="p q r", y="1 2 3", g="u v u"))) == ["u", "v"]


def test_numeric_groups_are_told_by_fewer_levels() -> None:
    assert list(groups_of(_case(y="5 6 7 8", arm="0 0 1 1"))) == ["0", "1"]


def test_levels_sort_as_in_r() -> None:
    assert sorted_levels(["10", "9", "0.5"]) == ["0.5", "9", "10"]
    assert sorted_levels(["d10", "d9", "D1"]) == ["D1", "d10", "d9"]


def test_long_tables_are_spread_with_conditions_in_order() -> None:
    expected = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]
    for names in (("y", "t", "b"), ("value", "dose", "donor"), ("value", "arm", "who")):
        cells = ("2 1 4 3 7 5", "10 9 10 9 10 9", "p p q q r r")
        np.testing.assert_array_equal(within_donors(_case(**dict(zip(names, cells, strict=True)))), expected)
    first = {"donor": "p p q q r r", "t": "b a b a b a", "y": "2 1 4 3 7 5"}
    np.testing.assert_array_equal(within_donors(_case(**first)), expected)


def test_wide_tables_are_taken_as_they_are() -> None:
    np.testing.assert_array_equal(within_donors(_case(donor="p q", a="1 2", b="4 3", c="5 6")), [[1, 4, 5], [2, 3, 6]])
