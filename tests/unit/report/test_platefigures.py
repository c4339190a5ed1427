"""What a plate's figures hold: every well where it belongs, every odd state told apart without colour, nothing computed by the chart."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exvivo.calibrate import calibrate_plates
from exvivo.calibrate.compare import compare_with_vendor
from exvivo.engine import Work
from exvivo.read.batch import find_exports
from exvivo.read.single import read_exports
from exvivo.report.bench import Bench, PlateView, list_plates, name_files, summarise_plates
from exvivo.report.numbers import print_nominal, shorten_names
from exvivo.report.performance import list_limits
from exvivo.report.platefigures import draw_curve, draw_glance, draw_precision, draw_residuals
from exvivo.report.plategrids import draw_readings, draw_residuals_on_plate, standardise_wells
from exvivo.report.platepage import compose_page, compose_picture
from exvivo.report.platetables import list_checks, list_concentrations, list_odd_wells, list_rules, list_standards
from exvivo.report.specimenfigures import draw_comparison, draw_concentrations, tell_concentration
from exvivo.report.theme import Spec, compose_spec, render_png
from exvivo.report.wording import load_wording
from exvivo.study.decisions import Decisions
from exvivo.study.model import AssayRules
from exvivo.study.protocol import Assays
from exvivo.study.tables import FINDINGS

ODD = {"A1": "OVRFLW", "A4": "OVRFLW", "B4": "Masked", "C4": "MISSED", "D4": "", "H8": "4.100", "H9": "4.200"}
WORDS = load_wording()


def rows_of(figure: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  any part of a specification
    if isinstance(figure, dict):
        yield from figure.get("data", {}).get("values", [])
        for part in figure.values():
            yield from rows_of(part)
    elif isinstance(figure, list):
        for part in figure:
            yield from rows_of(part)


def view_of(folder: Path) -> PlateView:
    exports = read_exports(find_exports([folder], None), Work())
    calibration = calibrate_plates(exports.inputs, Assays(AssayRules(), exports.readouts), Decisions(), Work())
    comparison = compare_with_vendor(exports.inputs.vendor, calibration.wells, calibration.curves)
    (view,) = list_plates(Bench(calibration, AssayRules(), exports.readouts, comparison, FINDINGS.empty()))
    return view


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory, write_plate: Callable[..., Path]) -> PlateView:
    folder = tmp_path_factory.mktemp("plates")
    write_plate(folder, "plate", odd=ODD)
    return view_of(folder)


@pytest.fixture
def compared(view: PlateView) -> PlateView:
    rows = [
        {
            "well": row["well"],
            "vendor": (row["concentration"] or 0) * (1.02 if row["well"][0] == "A" else 0.99),
            "ours": row["concentration"],
        }
        for row in view.own
    ]
    return replace(view, comparison=tuple(rows))


def figures(view: PlateView) -> list[Spec]:
    drawn = [
        draw_readings(view, WORDS), draw_curve(view, WORDS), draw_residuals(view, WORDS), draw_residuals_on_plate(view, WORDS),
        draw_precision(view, WORDS), draw_glance(view, WORDS), draw_concentrations(view, WORDS), draw_comparison(view, WORDS),
    ]  # fmt: skip
    return [figure for figure in drawn if figure is not None]


def test_every_figure_and_the_whole_picture_follow_the_schema(compared: PlateView) -> None:
    import altair as alt

    drawn = [*figures(compared), compose_picture(compared, WORDS)]
    assert len(drawn) == 9
    for figure in drawn:
        alt.Chart.from_dict(compose_spec(figure), validate=True)


def test_figures_only_draw_and_every_datum_is_inside_its_axis(compared: PlateView) -> None:
    checked = 0
    for figure in figures(compared):
        text = json.dumps(figure, allow_nan=False)
        for word in ('"aggregate"', '"bin"', '"transform"', '"clip": true'):
            assert word not in text
        for layer in layers_of(figure):
            for channel in ("x", "y", "x2", "y2"):
                scale = layer["encoding"].get(channel[0], {}).get("scale")
                field = layer["encoding"].get(channel, {}).get("field")
                if scale and field:
                    low, high = sorted(scale["domain"])
                    outside = [row[field] for row in layer["data"]["values"] if not low <= row[field] <= high]
                    assert outside == [], (field, scale)
                    checked += len(layer["data"]["values"])
    assert checked > 1500


def layers_of(figure: Spec) -> Iterator[Spec]:
    if "encoding" in figure:
        yield figure
    for name in ("layer", "hconcat", "vconcat", "concat"):
        for part in figure.get(name, []):
            yield from layers_of(part)


def test_wells_stand_where_they_are_with_what_was_read(view: PlateView) -> None:
    told = {(row["mx"], row["low"]): (row["name"], row["told"]) for row in rows_of(draw_readings(view, WORDS)) if "told" in row}
    assert len(told) == 96
    by_well = {row["well"]: row for row in view.wells}
    assert told[2.5, 2.7] == ("QC high", f"{by_well['C3']['raw_signal']:.3f}")
    assert told[1.5, 6.7] == ("15.63", f"{by_well['G2']['raw_signal']:.3f}")
    assert told[0.5, 7.7][0] == "blank"
    assert told[11.5, 7.7] == ("", "")


def test_odd_states_are_told_apart_by_words_and_strokes(view: PlateView) -> None:
    excluded = [{**row, "status": "masked", "reason": "excluded"} if row["well"] == "E4" else row for row in view.wells]
    figure = draw_readings(replace(view, wells=tuple(excluded)), WORDS)
    told = {row["mx"]: row["told"] for row in rows_of(figure) if "told" in row and row["low"] == 0.7}
    assert (told[0.5], told[3.5]) == ("overflow", "overflow")
    column = {row["low"]: row["told"] for row in rows_of(figure) if "told" in row and row["mx"] == 3.5}
    assert [column[k + 0.7] for k in range(5)] == ["overflow", "masked", "not read", "no reading", "excluded"]
    strokes = [(int(row["x0"]), int(min(row["y0"], row["y1"]))) for row in rows_of(figure) if "y0" in row and "fill" not in row]
    assert strokes.count((3, 1)) == 1, "one diagonal for a masked well"
    assert strokes.count((3, 4)) == 2, "two for an excluded one"
    assert strokes.count((3, 2)) == 1, "an outline for one that was not read"
    assert strokes.count((3, 0)) == 0


def test_standards_stand_at_their_concentration_and_zero_at_the_edge(view: PlateView) -> None:
    points = [row for row in rows_of(draw_curve(view, WORDS)) if row.get("kind") == "known"]
    places = sorted({round(row["x"], 6) for row in points})
    assert places == pytest.approx([6.25, 15.625, 31.25, 40.0, 62.5, 125.0, 250.0, 400.0, 500.0, 1000.0])
    assert sum(row["x"] == 6.25 for row in points) == 2
    assert sum(row["x"] == 1000.0 for row in points) == 1, "the standard that overflowed has no signal"


def test_a_specimen_beyond_the_curve_points_to_the_edge_and_its_interval_is_drawn(view: PlateView) -> None:
    points = {row["signal"]: row for row in rows_of(draw_curve(view, WORDS)) if row.get("kind") == "specimen"}
    assert points[4.1]["shape"] == "triangle-right"
    assert points[4.1]["high"] == pytest.approx(2000.0)
    inside = [row for row in points.values() if row["shape"] == "circle"]
    assert len(inside) > 30
    assert all(row["low"] < row["x"] < row["high"] for row in inside)


def test_residuals_of_replicates_of_a_specimen_balance(view: PlateView) -> None:
    residuals = standardise_wells(view)
    both = [(residuals[f"A{k}"], residuals[f"A{k + 1}"]) for k in (6, 8)]
    for first, second in both:
        assert first + second == pytest.approx(0.0, abs=0.15)
        assert abs(first) > 0
    assert "A4" not in residuals
    assert "A1" not in residuals


def test_a_curve_without_bounds_does_not_squeeze_the_readings(view: PlateView) -> None:
    assert view.curve is not None
    wild = replace(view, curve=replace(view.curve, loading=view.curve.loading * 1e6))
    readings = [row["signal"] for row in rows_of(draw_curve(wild, WORDS)) if "signal" in row]
    domain = next(layer["encoding"]["y"]["scale"]["domain"] for layer in layers_of(draw_curve(wild, WORDS)) if "y2" in layer["encoding"])
    assert domain[1] - domain[0] < 2 * (max(readings) - min(readings))


def test_tables_hold_every_level_state_and_specimen(view: PlateView) -> None:
    standards = list_standards(view, WORDS)
    assert [row.cells[0] for row in standards.rows] == ["0", "15.63", "31.25", "62.5", "125", "250", "500", "1000"]
    assert standards.rows[-1].cells[1] == "1 / 2"
    assert len(list_concentrations(view, WORDS).rows) == 24
    odd = {row.cells[0]: row.cells[2] for row in list_odd_wells(view, WORDS).rows}
    assert odd == {"A1": "overflow", "A4": "overflow", "B4": "masked", "C4": "not read", "D4": "no reading"}
    assert all(row.cells[4].startswith("plate.csv, ") for row in list_odd_wells(view, WORDS).rows if row.cells[0] != "D4")
    rules = {row.cells[0]: row.cells[3] for row in list_rules(view, WORDS).rows}
    assert rules["recovery of standards, %"].endswith("/ 7")
    allowed = {row.cells[0]: row.cells[2] for row in list_rules(view, WORDS).rows}
    assert allowed["range reaches the outermost standard"] == "at most 15.6, at least 1000"


def test_a_test_of_agreement_that_stays_open_is_no_rule_that_was_missed(view: PlateView) -> None:
    row = {"rule": "dilution-linearity", "subject": "S01 1:40 / 1:20", "observed": 1.1, "low": 0.8, "high": 1.25, "ci_low": 0.7,
           "ci_high": 1.7, "p": None, "outcome": "not-shown", "passed": False, "accepted": True}  # fmt: skip
    unclear = replace(view, verdicts=(*view.verdicts, row, {**row, "subject": "S02", "outcome": "shown", "passed": True}))
    assert unclear.refusing == view.refusing
    (told,) = [line for line in list_rules(unclear, WORDS).rows if line.cells[0] == WORDS.say("rule", "dilution-linearity")]
    assert (told.cells[3], told.tone) == ("1 / 2, 1 open", "")
    checks = [line.cells for line in list_checks(unclear, WORDS).rows if line.cells[0] == WORDS.say("rule", "dilution-linearity")]
    assert checks[0][2:] == ("1.10 (0.700 to 1.70)", "0.800 to 1.25", "agreement not shown")
    differing = replace(view, verdicts=(*view.verdicts, {**row, "outcome": "differs"}))
    assert "dilution-linearity" in differing.refusing


def test_every_limit_of_a_plate_is_listed_and_its_page_shows_what_plates_share(view: PlateView) -> None:
    limits = list_limits(view, WORDS)
    assert len(limits.rows) == len(view.limit_rows) > 6
    assert [row.cells[0] for row in limits.rows if row.cells[4]] == [
        WORDS.say("limit", name) for name in ("lloq", "uloq") for row in view.limit_rows if row["limit"] == name and row["used"]
    ]
    others = [{**row, "plate": f"other {k}:1", "order": k + 2} for k in range(3) for row in view.controls.rows]
    shared = replace(view, controls=replace(view.controls, rows=(*view.controls.rows, *others)))
    assert WORDS.say("charts", "title") in compose_page(shared, WORDS)
    assert WORDS.say("charts", "title") not in compose_page(view, WORDS), "one plate is no chart"


def test_ratios_to_the_readers_concentrations_are_drawn_with_their_limits_of_agreement(compared: PlateView) -> None:
    figure = draw_comparison(compared, WORDS)
    assert figure is not None
    points = [row["ratio"] for row in rows_of(figure) if "ratio" in row]
    known = [row for row in compared.comparison if row["ours"] and row["well"] not in {"H1", "H2"}]
    assert sorted(points) == pytest.approx(sorted(1 / (1.02 if row["well"][0] == "A" else 0.99) for row in known))
    logs = np.log(points)
    levels = [row["at"] for row in rows_of(figure) if "at" in row]
    half = 1.959964 * logs.std(ddof=1)
    assert levels == pytest.approx([1.0, math.exp(logs.mean()), math.exp(logs.mean() - half), math.exp(logs.mean() + half)])
    told = figure["title"]["subtitle"]
    assert told[0].startswith(f"{len(known)} wells")
    assert f"{len(compared.comparison) - 2 - len(known)} without a number" in told[0]


def test_without_the_readers_concentrations_there_is_nothing_to_compare(view: PlateView) -> None:
    assert draw_comparison(view, WORDS) is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"status": "quantified", "concentration": 12.34, "ci_low": 10.0, "ci_high": 15.0}, "12.3 (10.0 to 15.0)"),
        ({"status": "quantified", "concentration": 12.34, "ci_low": None, "ci_high": 15.0}, "12.3 (up to 15.0)"),
        ({"status": "below_lloq", "upper_bound": math.log(31.25), "lower_bound": None}, "below 31.3"),
        ({"status": "above_uloq", "lower_bound": math.log(1000.0), "upper_bound": None}, "above 1000"),
        ({"status": "refused", "reason": "plate-refused", "lower_bound": None}, "plate refused"),
        ({"status": "missing", "reason": None, "lower_bound": None}, "missing"),
    ],
)
def test_a_result_is_told_in_one_cell(row: dict[str, object], told: str) -> None:
    assert tell_concentration({"upper_bound": None, **row}, WORDS) == told


def test_the_page_needs_no_network_and_holds_all_figures(compared: PlateView) -> None:
    page = compose_page(compared, WORDS)
    assert page.count("<svg ") == 7
    for word in ("src=", "@import", 'href="http', "<script"):
        assert word not in page
    hostile = replace(compared, label="<b>IL6</b>", plate="<i>p</i>")
    assert "<b>IL6</b>" not in compose_page(hostile, WORDS)


def test_the_picture_is_a_png_whose_flat_colours_are_exact(view: PlateView, tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(render_png(compose_picture(view, WORDS), scale=1.0))
    with Image.open(tmp_path / "page.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[1] > 1000
    assert (pixels[0] == 255).all()
    for colour in ((8, 64, 108), (26, 26, 26), (0, 114, 178)):
        assert (pixels == colour).all(axis=2).any(), colour


def test_a_plate_without_curve_has_a_page_too(view: PlateView) -> None:
    refused = tuple({**row, "status": "refused", "reason": "no-curve"} for row in view.concentrations)
    bare = replace(view, curve=None, row=None, concentrations=refused)
    page = compose_page(bare, WORDS)
    assert "There is no standard curve to read it from." in page
    assert draw_concentrations(bare, WORDS) is None
    assert render_png(compose_picture(bare, WORDS), scale=0.5).startswith(b"\x89PNG")


def test_summaries_count_specimens_by_status(tmp_path: Path, write_plate: Callable[..., Path]) -> None:
    write_plate(tmp_path, "p 1")
    exports = read_exports(find_exports([tmp_path], None), Work())
    calibration = calibrate_plates(exports.inputs, Assays(AssayRules(), exports.readouts), Decisions(), Work())
    comparison = compare_with_vendor(exports.inputs.vendor, calibration.wells, calibration.curves)
    (line,) = summarise_plates(Bench(calibration, AssayRules(), exports.readouts, comparison, FINDINGS.empty()))
    assert line.page == "plates/p 1_1.html"
    assert sum(line.counts.values()) == 24
    assert line.accepted
    assert line.lloq is not None
    assert 15.0 < line.lloq < 40.0


def test_names_of_files_are_safe_everywhere_and_differ_without_regard_to_case() -> None:
    assert name_files(["a:1", "A:1", "COM1", "x/y\\z*?", "é 1.", "n" * 200])[:5] == ["a_1", "A_1-2", "COM1_", "x_y_z_", "é 1"]
    assert len(name_files(["n" * 200])[0]) == 80


def test_names_lose_what_they_share_before_they_lose_what_tells_them_apart() -> None:
    assert shorten_names(["SCL-2024-0001", "SCL-2024-0017", "QC"], 8) == ["…01", "…17", "QC"]
    assert shorten_names(["alphabetical", "betabetical"], 8) == ["alphabe…", "betabet…"]
    assert [print_nominal(x) for x in (100.0, 0.0156, 31.25, None)] == ["100", "0.0156", "31.25", ""]
