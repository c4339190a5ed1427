import base64
import dataclasses
import io
import json
import math
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exvivo.report.axes import linear_domain, log_domain, log_ticks
from exvivo.report.curvefigures import draw_curves
from exvivo.report.figures import (
    WIDEST_FOLD,
    ForestRow,
    ModifierRow,
    Tile,
    cut_intervals,
    draw_forest,
    draw_modifiers,
    draw_pairs,
    draw_verdicts,
)
from exvivo.report.gatefigures import clip_polygon, compose_density, crop_density, draw_sheet
from exvivo.report.leaning import draw_normal, draw_without
from exvivo.report.pairs import collect_pairs
from exvivo.report.panel import collect_panels, draw_panel
from exvivo.report.sharefigures import ShareRow, collect_shares, draw_shares
from exvivo.report.theme import Spec, compose_spec, render_svg
from exvivo.report.wording import load_wording
from exvivo.study.run import Run

MODIFIERS = [
    ModifierRow("ulcers", "head", texts=("", "", "", "0.13")),
    ModifierRow("never", "main", (0.6, 0.5, 0.8), 0.57, texts=("15", "0.6", "reference", "")),
    ModifierRow("ever", "main", (0.4, 0.001, 300.0), 0.45, (0.67, 0.4, 1.1), texts=("5", "0.4", "0.67", "")),
    ModifierRow("score", "head"),
    ModifierRow("per 10", "main", modification=(1.2, 0.9, 1.6)),
    ModifierRow("corrected", "main", modification=(1.3, 0.8, 1.9), hollow=True),
    ModifierRow("All donors", "overall", (0.55, 0.45, 0.66), texts=("22", "0.55", "", "")),
]
POSITIVE = st.floats(min_value=1e-6, max_value=1e6)


def views_of(spec: Spec, data: Spec | None = None) -> Iterator[tuple[Spec, Spec]]:
    held = spec.get("data", data)
    inner = [part for name in ("concat", "hconcat", "vconcat", "layer") for part in spec.get(name, [])]
    for part in inner:
        yield from views_of(part, held)
    if "encoding" in spec and held is not None:
        yield spec, held


def check_inside(figure: Spec) -> int:
    """Every datum of every quantitative channel lies inside its domain; how many were looked at."""
    checked = 0
    for view, held in views_of(figure):
        rows = held["values"]
        for channel in ("x", "y", "x2", "y2"):
            part = view["encoding"].get(channel, {})
            domain = view["encoding"].get(channel[0], {}).get("scale", {}).get("domain")
            if "field" not in part or domain is None or isinstance(domain[0], str):
                continue
            for row in rows:
                value = row[part["field"]]
                assert value is not None
                assert math.isfinite(value)
                assert domain[0] <= value <= domain[1], (part["field"], value, domain)
                checked += 1
    return checked


def check_draws_only(figure: Spec) -> None:
    text = json.dumps(figure)
    for word in ('"aggregate"', '"bin"', '"transform"', "random()", '"clip": true', "http://", '"url": "http'):
        assert word not in text


def figures_of(run: Run) -> list[Spec]:
    curves = run.calibration.curves.rows()
    sketches = [row for row in run.gating.sketches.rows() if row["donor"] == "SSc001"]
    words, effect = load_wording(), run.effects.effects.rows()[0]
    rows = [
        ForestRow("autoantibodies", "head"),
        ForestRow("ACA", "main", 0.6, 0.4, 0.8, ("12",)),
        ForestRow("ulcers", "main", 1.2, 0.001, 5000.0, ("9",)),
        ForestRow("bound", "main", None, None, 0.6),
    ]
    return [
        *(draw_pairs(group.panels, by_donor=group.experiment == "B") for group in collect_pairs(run)),
        draw_curves(curves, run.calibration.wells.frame, frozenset({"pdgf:1"})),
        draw_sheet(sketches, {"Cells": 82.0}),
        draw_forest(rows, ["Outcome", "Donors"], "ratio"),
        draw_modifiers(MODIFIERS, ["Modifier", "Donors", "Ratio", "Ratio of ratios", "p"], ("ratio", "ratio of ratios")),
        draw_verdicts([Tile("a:1", "recovery", 7, 8, accepted=True)]),
        *(draw_panel(panel, words, column=40, height=120) for panel in collect_panels(run, words)[:3]),
        *filter(None, (draw(run, effect, words) for draw in (draw_without, draw_normal))),
        draw_shares([ShareRow("P1 CCL18", (0.2, 0.0, 0.1, 0.7)), ShareRow("S2 CD206", (0.0, 0.0001, 0.9999, 0.0))], load_wording()),
    ]


def test_every_datum_lies_inside_its_axis_and_charts_only_draw(run: Run) -> None:
    checked = [check_inside(figure) for figure in figures_of(run)]
    assert sum(checked[:2]) > 300
    for figure in figures_of(run):
        check_draws_only(figure)


def test_shares_fill_the_bar_and_those_of_nothing_are_told_from_small_ones(run: Run) -> None:
    rows = collect_shares(run)
    assert [sum(row.shares) for row in rows] == pytest.approx([1.0] * len(rows))
    views = list(views_of(draw_shares([ShareRow("S2 CD206", (0.0, 0.0001, 0.2499, 0.75))], load_wording())))
    bars = next(held["values"] for view, held in views if "x2" in view["encoding"])
    assert [bar["start"] for bar in bars] == pytest.approx([0.0, 0.01, 25.0])
    assert [bar["end"] for bar in bars] == pytest.approx([0.01, 25.0, 100.0])
    words = [row["text"] for view, held in views if "text" in view["encoding"] for row in held["values"] if row["row"] == 0]
    assert words == ["S2 CD206", "–", "<0.1", "25", "75"]


def test_every_figure_follows_the_schema_of_vega_lite(run: Run) -> None:
    import altair as alt

    for figure in figures_of(run):
        alt.Chart.from_dict(compose_spec(figure), validate=True)


def test_the_same_tables_give_the_same_picture_and_names_inside_carry_the_figure(run: Run) -> None:
    curves = run.calibration.curves.rows()[:1]
    one, two = (render_svg(draw_curves(curves, run.calibration.wells.frame, frozenset()), "curve-a", "Curve of <CCL18>") for _ in range(2))
    assert one == two
    assert 'aria-label="Curve of &lt;CCL18&gt;"' in one


def test_pairs_follow_the_contrast_and_count_what_is_incomplete(run: Run) -> None:
    first, second = collect_pairs(run)
    assert [group.experiment for group in (first, second)] == ["A", "B"]
    by_readout = {panel.readout: panel for panel in first.panels}
    assert list(by_readout) == ["CCL18", "PDGFBB", "IL6", "CXCL10", "CXCL4", "CD204", "CD206", "CD163", "CD86", "MHCII", "TLR4"]
    assert (by_readout["CCL18"].complete, by_readout["CCL18"].incomplete) == (6, 0)
    assert (by_readout["PDGFBB"].complete, by_readout["PDGFBB"].incomplete) == (5, 1)
    bounds = {name: [p.bound for p in panel.points if p.bound] for name, panel in by_readout.items()}
    assert bounds["IL6"] == ["below"]
    assert bounds["CD86"] == ["below"]
    assert bounds["CXCL10"] == ["above"]
    assert second.panels[0].complete == 9


def test_a_value_known_as_an_interval_is_drawn_and_its_pair_is_complete(run: Run) -> None:
    second = collect_pairs(run)[1]
    panel = next(panel for panel in second.panels if panel.readout == "IL6")
    (point,) = [point for point in panel.points if point.bound == "between"]
    assert (panel.complete, panel.incomplete) == (9, 0)
    assert point.span == pytest.approx((math.exp(2.0), math.exp(3.0)))
    assert point.value == pytest.approx(math.exp(2.5))
    shapes = [row["shape"] for view, held in views_of(draw_pairs(second.panels)) if "stroke" in view["encoding"] for row in held["values"]]
    assert shapes == ["diamond"]


def test_lines_take_the_donors_colours_only_while_every_donor_has_its_own(run: Run) -> None:
    assert [group.by_donor for group in collect_pairs(run)] == [False, True]
    held = run.outcomes.frame
    copies = [held.with_columns(donor=pl.format("{}-{}", pl.lit(k), pl.col("donor"))) for k in range(3)]
    many = dataclasses.replace(run, outcomes=dataclasses.replace(run.outcomes, frame=pl.concat(copies)))
    assert [group.by_donor for group in collect_pairs(many)] == [False, False]


def test_pairs_of_a_blinded_run_are_not_told(blinded_run: Run) -> None:
    assert all(not panel.points for group in collect_pairs(blinded_run) for panel in group.panels)


def test_wide_and_open_intervals_are_cut_with_an_arrow() -> None:
    rows = cut_intervals([(0.5, 0.4, 0.6), (1.0, 1e-9, 1e9), (None, None, 0.8), (None, None, None)])
    assert [row["row"] for row in rows] == [0, 1, 2]
    assert [len(row["ends"]) for row in rows] == [0, 2, 1]
    assert rows[1]["low"] == pytest.approx(0.5 / WIDEST_FOLD)
    assert rows[1]["high"] == pytest.approx(WIDEST_FOLD)
    assert rows[2]["low"] < rows[0]["low"]


@given(st.lists(POSITIVE, min_size=1, max_size=30))
def test_log_domains_hold_all_values_and_have_between_two_and_five_ticks(values: list[float]) -> None:
    low, high = log_domain(values)
    assert low < min(values) <= max(values) < high
    ticks = log_ticks((low, high))
    assert 2 <= len(ticks) <= 5
    assert ticks == sorted(set(ticks))
    assert all(low <= tick <= high for tick in ticks)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_linear_domains_hold_all_values(values: list[float]) -> None:
    low, high = linear_domain(values)
    assert low < min(values) <= max(values) < high


def test_a_log_axis_refuses_zero() -> None:
    with pytest.raises(ValueError, match="positive"):
        log_domain([0.0, 1.0])


def decode(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))).convert("RGB")


def test_a_density_is_one_small_image_with_rows_from_below() -> None:
    counts = np.zeros((64, 64))
    counts[0, 63] = 100.0
    url = compose_density(counts)
    image = decode(url)
    assert image.size == (64, 64)
    assert image.getpixel((63, 63)) == (8, 51, 112)
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(url) < 2000


def test_the_dense_core_stands_out_and_a_single_event_is_seen() -> None:
    counts = np.zeros((64, 64))
    counts[0, :3] = 1.0, 100.0, 400.0
    image = decode(compose_density(counts))
    greys = np.asarray(image, dtype=np.int64).sum(axis=2)[63, :4].tolist()
    assert greys[3] == 765 > greys[0] > greys[1] > greys[2]
    assert greys[1] - greys[2] > 150


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=3, max_size=8))
def test_a_clipped_gate_lies_inside_its_box(vertices: list[tuple[float, float]]) -> None:
    for x, y in clip_polygon(vertices, ((-1.0, 1.0), (0.0, 2.0))):
        assert -1.0 - 1e-9 <= x <= 1.0 + 1e-9
        assert -1e-9 <= y <= 2.0 + 1e-9


def test_a_gate_inside_its_box_stays_as_it_is() -> None:
    triangle = [(0.1, 0.2), (0.5, 0.3), (0.2, 0.9)]
    assert clip_polygon(triangle, ((0.0, 1.0), (0.0, 1.0))) == triangle


def test_a_density_is_cropped_to_its_events_and_keeps_their_place() -> None:
    counts = np.zeros((64, 64))
    counts[40:44, 50:54] = 100.0
    cropped, ((x_low, x_high), (y_low, y_high)) = crop_density(counts, ((0.0, 64.0), (0.0, 64.0)))
    assert cropped.sum() == counts.sum()
    assert x_low <= 50
    assert x_high >= 54
    assert y_low <= 40
    assert y_high >= 44
    assert x_high - x_low < 30
    assert cropped.shape == (y_high - y_low, x_high - x_low)


def test_the_forest_of_modifiers_keeps_ratios_and_ratios_of_ratios_apart() -> None:
    columns = draw_modifiers(MODIFIERS, ["Modifier", "Donors", "Ratio", "Ratio of ratios", "p"], ("ratio", "ratio of ratios"))["hconcat"]
    ratios, changes = columns[2], columns[4]

    def drawn(column: Spec, field: str) -> list[tuple[float, float]]:
        views = [
            view for view in column["layer"] if view["encoding"].get("x", {}).get("field") == field and "order" not in view["encoding"]
        ]
        return [(row["row"], row[field]) for view in views for row in view["data"]["values"] if "row" in row]

    assert drawn(ratios, "estimate") == [(1, 0.6), (2, 0.4)]
    assert drawn(changes, "estimate") == [(2, 0.67), (4, 1.2), (5, 1.3)]
    shrunken = next(view for view in ratios["layer"] if view["mark"].get("shape") == "circle")
    assert [row["at"] for row in shrunken["data"]["values"]] == [0.57, 0.45]
    (diamond,) = [view["data"]["values"] for view in ratios["layer"] if "order" in view["encoding"]]
    assert [(corner["at"], round(corner["row"])) for corner in diamond] == [(0.45, 6), (0.55, 6), (0.66, 6), (0.55, 6)]
    assert not any("order" in view["encoding"] for view in changes["layer"])
