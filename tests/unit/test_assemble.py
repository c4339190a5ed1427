"""Values on their way to the analysis table: plates, replicate cultures, serum blanks."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exvivo.assemble import Value, _combine_plates, _mean_value, _table_value, subtract_blank
from exvivo.study.statuses import Reason, SpecimenStatus

QUANTIFIED, BELOW = SpecimenStatus.QUANTIFIED.value, SpecimenStatus.BELOW_LLOQ.value
amounts = st.floats(1.0, 1e5)
errors = st.floats(0.01, 0.3)


def point(amount: float, se: float = 0.05) -> Value:
    return Value(QUANTIFIED, log_value=math.log(amount), se=se, measurements=2, plates=("p:1",), specimens=("s",))


def below(limit: float) -> Value:
    return Value(BELOW, upper=math.log(limit), measurements=2, plates=("p:1",), specimens=("s",))


def above(limit: float) -> Value:
    return Value(SpecimenStatus.ABOVE_ULOQ.value, lower=math.log(limit), measurements=2, plates=("p:1",), specimens=("s",))


def test_a_point_blank_is_subtracted_on_the_linear_scale_with_its_error() -> None:
    net = subtract_blank(point(100.0, 0.05), point(20.0, 0.10))
    assert net.log_value == pytest.approx(math.log(80.0))
    assert net.se == pytest.approx(math.hypot(5.0, 2.0) / 80.0)
    assert net.blank_share == pytest.approx(0.2)
    assert net.plain == pytest.approx(math.log(100.0))


def test_a_net_below_its_detection_limit_is_left_censored_there() -> None:
    net = subtract_blank(point(100.0, 0.05), point(99.0, 0.05))
    assert (net.status, net.reason, net.log_value, net.lower) == (BELOW, Reason.NET_BELOW_DETECTION, None, None)
    assert net.upper == pytest.approx(math.log(1.645 * 99.0 * math.hypot(0.05, 0.05)))


def test_a_wide_blank_below_its_lloq_makes_the_net_an_interval() -> None:
    net = subtract_blank(point(100.0, 0.02), below(40.0))
    assert (net.status, net.reason) == (QUANTIFIED, Reason.BLANK_BELOW_LLOQ)
    assert net.log_value is None
    assert net.lower == pytest.approx(math.log(60.0))
    assert net.upper == pytest.approx(math.log(100.0))


def test_a_narrow_blank_below_its_lloq_leaves_a_point() -> None:
    net = subtract_blank(point(100.0, 0.10), below(4.0))
    assert net.exact
    assert net.log_value == pytest.approx(math.log(98.0))
    assert net.se == pytest.approx(math.hypot(10.0, 4.0 / math.sqrt(12)) / 98.0)


def test_a_missing_blank_leaves_the_uncorrected_value_beside() -> None:
    net = subtract_blank(point(100.0), None)
    assert (net.status, net.reason, net.log_value) == (SpecimenStatus.MISSING, Reason.SERUM_BLANK_MISSING, None)
    assert net.plain == pytest.approx(math.log(100.0))


def test_a_total_below_its_lloq_stays_left_censored() -> None:
    net = subtract_blank(below(30.0), point(10.0))
    assert net.lower is None
    assert net.upper == pytest.approx(math.log(20.0))


@pytest.mark.parametrize(("total", "plain"), [(point(100.0), 100.0), (below(30.0), 30.0), (above(500.0), 500.0)])
def test_without_a_blank_the_total_and_its_kind_are_kept(total: Value, plain: float) -> None:
    net = subtract_blank(total, None)
    assert net.plain == pytest.approx(math.log(plain))
    assert json.loads(net.detail or "") == {"total": total.status}


def test_a_total_below_its_lloq_tells_the_least_share_of_the_blank() -> None:
    assert subtract_blank(below(30.0), point(20.0)).blank_share == pytest.approx(2 / 3)
    assert subtract_blank(below(30.0), below(20.0)).blank_share == 0
    assert subtract_blank(above(500.0), point(20.0)).blank_share is None


@given(amounts, errors, st.floats(0.0, 0.99), errors)
def test_a_net_never_exceeds_the_total(amount: float, se: float, share: float, blank_se: float) -> None:
    net = subtract_blank(point(amount, se), point(max(amount * share, 1e-6), blank_se))
    assert max(x for x in (net.log_value, net.upper) if x is not None) <= math.log(amount) + 1e-12
    assert net.usable


@given(amounts, errors, amounts, errors, st.floats(0.1, 10.0))
def test_a_change_of_unit_shifts_every_log(total: float, se: float, blank: float, blank_se: float, unit: float) -> None:
    plain = subtract_blank(point(total, se), point(blank, blank_se))
    scaled = subtract_blank(point(total * unit, se), point(blank * unit, blank_se))
    assert scaled.status == plain.status
    for a, b in zip((plain.log_value, plain.lower, plain.upper), (scaled.log_value, scaled.lower, scaled.upper), strict=True):
        assert (a is None) == (b is None)
        assert a is None or b == pytest.approx(a + math.log(unit), abs=1e-9)


def test_replicate_cultures_are_averaged_on_logs() -> None:
    mean = _mean_value([point(100.0, 0.1), point(400.0, 0.1)])
    assert mean.log_value == pytest.approx(math.log(200.0))
    assert mean.se == pytest.approx(math.hypot(0.1, 0.1) / 2)
    assert mean.measurements == 4
    assert json.loads(mean.detail or "") == {"cultures": 2, "culture_variance": pytest.approx(math.log(4.0) ** 2 / 2)}


def test_a_censored_replicate_makes_the_mean_an_interval() -> None:
    mean = _mean_value([point(100.0), below(25.0)])
    assert (mean.status, mean.log_value, mean.lower) == (BELOW, None, None)
    assert mean.upper == pytest.approx(math.log(50.0))


def test_a_refused_plate_does_not_count_beside_an_accepted_one() -> None:
    refused = Value(SpecimenStatus.REFUSED.value, reason=Reason.PLATE_REFUSED)
    assert _combine_plates([refused, point(50.0)]).log_value == pytest.approx(math.log(50.0))
    assert _combine_plates([refused]).status == SpecimenStatus.REFUSED


def test_accepted_plates_are_weighted_by_precision() -> None:
    combined = _combine_plates([point(100.0, 0.1), point(200.0, 0.2)])
    assert combined.log_value == pytest.approx((4 * math.log(100.0) + math.log(200.0)) / 5)
    assert combined.se == pytest.approx((1 / 0.01 + 1 / 0.04) ** -0.5)


def test_bounds_of_several_plates_are_put_together() -> None:
    both = _combine_plates([below(30.0), below(20.0)])
    assert (both.status, both.log_value, both.lower) == (BELOW, None, None)
    assert both.upper == pytest.approx(math.log(20.0))
    assert both.measurements == 4
    against = _combine_plates([above(40.0), below(30.0)])
    assert (against.lower, against.upper) == pytest.approx((math.log(30.0), math.log(40.0)))


@pytest.mark.parametrize("order", [1, -1])
def test_a_point_that_breaks_the_bound_of_another_plate_becomes_an_interval(order: int) -> None:
    kept = _combine_plates([point(25.0), below(30.0)][::order])
    assert kept.exact
    assert kept.log_value == pytest.approx(math.log(25.0))
    broken = _combine_plates([point(36.0), below(30.0)][::order])
    assert (broken.status, broken.log_value, broken.measurements) == (BELOW, None, 4)
    assert (broken.lower, broken.upper) == pytest.approx((math.log(30.0), math.log(36.0)))
    high = _combine_plates([point(450.0), above(500.0)][::order])
    assert high.status == SpecimenStatus.ABOVE_ULOQ
    assert (high.lower, high.upper) == pytest.approx((math.log(450.0), math.log(500.0)))


@pytest.mark.parametrize(
    ("value", "lower", "upper", "status", "reason", "expected"),
    [
        (8.0, None, None, "quantified", None, ("quantified", None)),
        (None, None, 5.0, "below_lloq", "below-lloq", ("below_lloq", "below-lloq")),
        (None, 90.0, None, "above_uloq", "above-uloq", ("above_uloq", "above-uloq")),
        (None, None, None, "missing", "no-reading", ("missing", "no-reading")),
        (None, None, None, "missing", "no-control", ("missing", "no-control")),
        (-3.0, None, None, "quantified", None, ("missing", "below-detection")),
    ],
)
def test_a_cell_of_a_table_keeps_the_reason_that_reading_gave_it(
    value: float | None, lower: float | None, upper: float | None, status: str, reason: str | None, expected: tuple[str, str | None]
) -> None:
    row = {"value": value, "lower_bound": lower, "upper_bound": upper, "status": status, "reason": reason, "detail": None, "unit": "a.u."}
    found = _table_value(row)
    assert (found.status, found.reason) == expected
