"""Scales against published values, membership against geometry that can be drawn."""

import math
from pathlib import Path

import flowutils
import numpy as np
import pytest

from exvivo.numerics import cells

# Values published with the Gating-ML 2.0 compliance tests: T = 1000, W = 1, M = 4, A = 0
PUBLISHED = {
    -10: 0.067574,
    -5: 0.147986,
    -1: 0.228752,
    0: 0.25,
    0.3: 0.256384,
    1: 0.271248,
    3: 0.312897,
    10: 0.432426,
    100: 0.739548,
    1000: 1.0,
}
SETTINGS = [
    (262144, 0.5, 4.5, 0),
    (10000, 0.5, 4.5, 0),
    (262144, 1, 4.5, 0),
    (262144, 0.1, 4.5, 0.5),
    (4194304, 1.2, 5.5, 0),
    (1000, 1, 4, 0),
]


@pytest.mark.parametrize(("value", "expected"), PUBLISHED.items())
def test_logicle_gives_the_published_values(value: float, expected: float) -> None:
    assert cells.logicle(value, 1000, 1, 4, 0) == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize("kind", ["logicle", "hyperlog"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_scales_equal_another_implementation(kind: str, setting: tuple[float, float, float, float]) -> None:
    t, w, m, a = setting
    size = np.geomspace(1e-3, t, 400)
    x = np.concatenate([-size[size < t / 20], [0.0], size])
    other = getattr(flowutils.transforms, kind)(x[:, None], [0], t=t, m=m, w=w, a=a)[:, 0]
    ours = cells.to_scale(kind, x, {"T": t, "W": w, "M": m, "A": a})
    np.testing.assert_allclose(ours, other, atol=2e-10 if kind == "hyperlog" else 1e-12, rtol=0)


def test_logicle_is_exact_to_rounding() -> None:
    y = np.linspace(-0.2, 1.0, 5001)
    for t, w, m, a in SETTINGS:
        np.testing.assert_allclose(cells.logicle(cells.inverse_logicle(y, t, w, m, a), t, w, m, a), y, atol=1e-15, rtol=0)


def test_logicle_without_linear_decades_is_asinh() -> None:
    x = np.array([-300.0, -1.0, 0.0, 2.0, 5000.0])
    y = cells.logicle(x, 10000, 0, 4, 0)
    scale = 10000 / math.sinh(4 * math.log(10))
    np.testing.assert_allclose(y, np.arcsinh(x / scale) / (4 * math.log(10)), atol=1e-14)


def test_nan_and_infinity_stay_what_they_are() -> None:
    y = cells.logicle([np.nan, np.inf, -np.inf], 1000, 1, 4, 0)
    assert np.isnan(y[0])
    assert y[1:].tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("logicle", (0, 0.5, 4, 0)),
        ("logicle", (1000, 2.5, 4, 0)),
        ("logicle", (1000, -0.1, 4, 0)),
        ("logicle", (1000, 1, 4, 2.5)),
        ("logicle", (1000, 1, 4, -1.5)),
        ("logicle", (1000, 1, math.nan, 0)),
        ("hyperlog", (1000, 0, 4, 0)),
    ],
)
def test_scales_without_meaning_are_refused(kind: str, values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=kind):
        cells.to_scale(kind, [1.0], dict(zip("TWMA", values, strict=True)))


def test_compensation_undoes_spillover() -> None:
    spill = np.array([[1, 0.2, 0.05], [0.1, 1, 0.3], [0, 0.02, 1]])
    true = np.random.default_rng(1).gamma(2, 500, (50, 3))
    np.testing.assert_allclose(cells.compensate(true @ spill, spill), true, rtol=1e-12)
    wide = np.hstack([spill, [[0.3], [0.2], [0.1]]])
    np.testing.assert_allclose(cells.compensate(true @ wide, wide), true, rtol=1e-12)


def test_compensation_of_a_real_file_equals_another_implementation(shared_data: Path) -> None:
    from exvivo.formats import fcs

    folder = shared_data / "cytometry" / "comp"
    lines = (folder / "comp_complete_example.csv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    matrix = np.array([[float(cell) for cell in line.split(",")] for line in lines[1:] if line])
    (record,) = fcs.parse(folder / "test_comp_example.fcs")
    events = fcs.read_events(folder / "test_comp_example.fcs", record).astype(float)
    columns = [[c.name for c in record.channels].index(name) for name in names]
    truth = flowutils.compensate.compensate(events, matrix, columns)[:, columns]
    np.testing.assert_allclose(cells.compensate(events[:, columns], matrix), truth, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("matrix", [[[1.0, 1.0], [1.0, 1.0]], [[1.0], [0.5]], [[1.0, math.nan], [0.0, 1.0]]])
def test_matrices_that_cannot_be_inverted_are_refused(matrix: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="matrix"):
        cells.unmixing(matrix)


def test_interval_is_half_open_and_nan_is_outside() -> None:
    x = np.array([1.0, 2.0, 3.0, np.nan])
    assert cells.in_interval(x, 1, 3).tolist() == [True, True, False, False]
    assert cells.in_interval(x, None, None).tolist() == [True, True, True, False]


def test_polygon_holds_its_boundary_and_not_its_bay() -> None:
    bay = [(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)]
    inside = [(0, 0), (2, 0), (2, 1), (1, 1), (3, 2.5), (3, 2.4), (2, 0.99)]
    points = dict.fromkeys(inside, True) | dict.fromkeys([(2, 2), (4, 4.1), (3, 2.6)], False)
    x, y = (np.array(axis, dtype=float) for axis in zip(*points, strict=True))
    assert cells.in_polygon(x, y, bay).tolist() == list(points.values())


def test_polygon_that_crosses_itself_counts_crossings() -> None:
    bow = [(0, 0), (2, 2), (2, 0), (0, 2)]
    x, y = np.array([0.5, 1.5, 1.0, 1.0]), np.array([1.0, 1.0, 0.5, 1.0])
    assert cells.in_polygon(x, y, bow).tolist() == [True, True, False, True]


def test_polygon_of_two_points_is_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        cells.in_polygon(np.zeros(1), np.zeros(1), [(0, 0), (1, 1)])


def test_ellipse_has_the_axes_it_was_given() -> None:
    points = np.array([[10.0, 0.0], [10.1, 0.0], [0.0, 5.0], [0.0, 5.1]])
    assert cells.in_ellipsoid(points, [0, 0], [[100, 0], [0, 25]], 1).tolist() == [True, False, True, False]


def test_axes_of_an_ellipse_may_differ_by_any_factor_but_must_not_be_one() -> None:
    points = np.array([[1e5, 0.0], [1.01e5, 0.0], [0.0, 0.001], [0.0, 0.00101]])
    assert cells.in_ellipsoid(points, [0, 0], [[1e10, 0], [0, 1e-6]], 1).tolist() == [True, False, True, False]
    with pytest.raises(ValueError, match="cannot be inverted"):
        cells.in_ellipsoid(points, [0, 0], [[1e10, 1e2], [1e2, 1e-6]], 1)


@pytest.mark.parametrize(
    ("neg", "pos", "width"), [(0.0, 4.418539922, -10.0), (1.0, 4.41854, -7.943282), (0.0, 4.0, -1.0), (0.5, 5.4, -1000.0)]
)
def test_biexponential_table_climbs_through_zero_and_is_odd_around_it(neg: float, pos: float, width: float) -> None:
    table = cells.biex_table(262144.0, neg, pos, width)
    zero = int(np.flatnonzero(table == 0.0)[0])
    assert table.shape == (4097,)
    assert np.all(np.diff(table) > 0)
    np.testing.assert_array_equal(table[:zero], -table[2 * zero : zero : -1])


def test_biexponential_values_beyond_the_table_are_shown_at_its_ends() -> None:
    table = cells.biex_table(262144.0, 0.0, 4.418539922, -10.0)
    shown = cells.biex([-1e9, table[0], 0.0, table[3000], table[-1], 1e9, math.nan], 262144.0, 0.0, 4.418539922, -10.0)
    zero = int(np.flatnonzero(table == 0.0)[0])
    np.testing.assert_array_equal(shown, [0.0, 0.0, zero / 4096, 3000 / 4096, 1.0, 1.0, math.nan])


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("biex", {"maxRange": 262144.0, "neg": 0.5, "pos": 4.5, "width": -100.0}),
        ("log", {"offset": 10.0, "decades": 4.0}),
    ],
)
def test_flowjo_scales_come_back(kind: str, parameters: dict[str, float]) -> None:
    shown = np.linspace(0.0, 1.0, 1001)
    np.testing.assert_allclose(cells.to_scale(kind, cells.from_scale(kind, shown, parameters), parameters), shown, atol=1e-12)


def test_floored_log_shows_everything_below_its_offset_at_zero() -> None:
    np.testing.assert_allclose(cells.floored_log([-5.0, 0.0, 10.0, 1000.0, math.nan], 10.0, 4.0), [0.0, 0.0, 0.0, 0.5, math.nan])


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("biex", {"maxRange": 262144.0, "neg": 0.0, "pos": 4.5, "width": -0.5}, "width <= -1"),
        ("biex", {"maxRange": 262144.0, "neg": -1.0, "pos": 4.5, "width": -10.0}, "neg >= 0"),
        ("biex", {"maxRange": 262144.0, "neg": 0.0, "pos": 1.0, "width": -100.0}, "pos > log10"),
        ("biex", {"maxRange": 0.0, "neg": 0.0, "pos": 4.5, "width": -10.0}, "maxRange > 0"),
        ("log", {"offset": 0.0, "decades": 4.0}, "offset > 0"),
    ],
)
def test_flowjo_scales_that_are_not_defined_are_refused(kind: str, parameters: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cells.check_parameters(kind, parameters)
