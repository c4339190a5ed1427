"""Bench -> files: a page for each plate and analyte as HTML and as PNG, and one page with all of them at a glance.

A page is one file that opens without a network. Its picture is one chart of the same parts, so that no browser is needed.
One task for each plate: drawing takes far longer than calibrating.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from exvivo.engine import Parcel, Work
from exvivo.report.bench import Bench, PlateView, list_plates
from exvivo.report.chartfigures import draw_controls, has_targets
from exvivo.report.performance import list_limits
from exvivo.report.platefigures import draw_curve, draw_glance, draw_precision, draw_residuals
from exvivo.report.plategrids import draw_readings, draw_residuals_on_plate
from exvivo.report.platetables import (
    list_all_findings,
    list_checks,
    list_concentrations,
    list_odd_wells,
    list_plate_findings,
    list_qcs,
    list_rules,
    list_standards,
    tell_counts,
    tell_limits,
    tell_plate,
)
from exvivo.report.specimenfigures import draw_comparison, draw_concentrations
from exvivo.report.textfigures import draw_table
from exvivo.report.theme import INK, VERMILION, Spec, below, beside, render_png, render_svg, titled
from exvivo.report.wording import Wording, load_wording

FOLDER = "plates"
INDEX = "index.html"
FOLD_ABOVE = 12
PICTURE_SCALE = 1.6
LINE_LENGTH = 170
TITLES = {"controls": ("charts", "title")}
"""Where texts of figures stand that the section of the plate lacks."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One plate on the page of all: its page, what is said of it, its curve."""

    href: str
    plate: str
    label: str
    accepted: bool
    told: str
    counts: str
    flags: tuple[str, ...]
    svg: Markup


def compose_pages(bench: Bench, work: Work) -> Mapping[str, bytes]:
    """Files of all pages, by path inside the output folder."""
    views = list_plates(bench)
    parcels = work.map(draw_plate, views, key=PlateView.key, label="drawing", version=2)
    files: dict[str, bytes] = {}
    for view, parcel in zip(views, parcels, strict=True):
        files[f"{FOLDER}/{view.name}.html"] = str(parcel.facts["html"]).encode()
        files[f"{FOLDER}/{view.name}.png"] = base64.b64decode(parcel.facts["png"])
    words = load_wording()
    glances = [_glance(view, Markup(parcel.facts["glance"]), words) for view, parcel in zip(views, parcels, strict=True)]  # noqa: S704  our own SVG
    files[INDEX] = _environment().get_template("plates.html.jinja").render(
        say=words.say, glances=glances, faults=bench.faults, findings=list_all_findings(bench.findings, words), fold_above=FOLD_ABOVE
    ).encode()  # fmt: skip
    return files


def draw_plate(view: PlateView) -> Parcel:
    """Page, picture and small curve of one plate."""
    words = load_wording()
    glance = render_svg(draw_glance(view, words), "glance", words.say("plate", "title", {"plate": view.plate, "label": view.label}))
    png = base64.b64encode(render_png(compose_picture(view, words), scale=PICTURE_SCALE)).decode()
    return Parcel(facts={"html": compose_page(view, words), "png": png, "glance": glance})


def compose_page(view: PlateView, words: Wording) -> str:
    """A plate's page as HTML."""
    figures = _figures(view, words)
    drawn = {name: Markup(render_svg(figure, name, words.say(*TITLES.get(name, ("plate", name))))) for name, figure in figures.items()}  # noqa: S704  escaped inside
    return _environment().get_template("plate.html.jinja").render(
        view=view, say=words.say, drawn=drawn, told=tell_plate(view, words), counts=tell_counts(view, words),
        refusing=[words.name("rule", rule) for rule in view.refusing],
        standards=list_standards(view, words), qcs=list_qcs(view, words), rules=list_rules(view, words), checks=list_checks(view, words),
        limits=list_limits(view, words),
        concentrations=list_concentrations(view, words), odd=list_odd_wells(view, words), findings=list_plate_findings(view, words),
        fold_above=FOLD_ABOVE, png=quote(f"{view.name}.png"),
    )  # fmt: skip


def compose_picture(view: PlateView, words: Wording) -> Spec:
    """The whole page as one chart."""
    figures = _figures(view, words)
    rules = draw_table(list_rules(view, words), (240, 90, 90, 66), words.say("plate_heading", "rules"))
    standards = draw_table(list_standards(view, words), (65, 50, 60, 60, 55, 70, 80, 40), words.say("plate_heading", "standards"))
    qcs = list_qcs(view, words)
    tables = [standards, *([draw_table(qcs, (110, 50, 65, 85, 70, 80, 40), words.say("plate_heading", "qcs"))] if qcs.rows else [])]
    left = [figures["readings"], figures["curve"], figures["residuals"]]
    right = [figures["precision"], figures["residual_map"], rules, *tables]
    if "comparison" in figures:
        left.append(tables.pop(0))
        right = [figures["precision"], figures["residual_map"], figures["comparison"], rules, *tables]
    rows = [beside([below(left, 24), below(right, 24)], 46), *(figures[name] for name in ("concentrations", "controls") if name in figures)]
    accepted = words.say("words", "accepted" if view.accepted else "refused")
    head = f"{words.say('plate', 'title', {'plate': view.plate, 'label': view.label})}: {accepted}"
    rules_missed = ", ".join(words.name("rule", rule) for rule in view.refusing)
    why = [words.say("plate", "refused_by", {"rules": rules_missed})] if rules_missed else []
    lines = [line for text in (tell_plate(view, words), tell_counts(view, words), *why) for line in wrap(text, LINE_LENGTH)]
    page = titled(below(rows, 26), head, lines, INK if view.accepted else VERMILION)
    page["title"] |= {"fontSize": 17, "offset": 18, "subtitleFontSize": 11.5}
    return {**page, "padding": 22}


def _figures(view: PlateView, words: Wording) -> dict[str, Spec]:
    figures: dict[str, Spec | None] = {
        "readings": draw_readings(view, words),
        "curve": draw_curve(view, words),
        "residuals": draw_residuals(view, words),
        "residual_map": draw_residuals_on_plate(view, words),
        "precision": draw_precision(view, words),
        "concentrations": draw_concentrations(view, words),
        "comparison": draw_comparison(view, words),
        "controls": _draw_charts(view, words),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _draw_charts(view: PlateView, words: Wording) -> Spec | None:
    figure = draw_controls(view.controls, words, plate=view.plate, columns=4)
    note = words.say("charts", "note" if has_targets(view.controls) else "note_few")
    return None if figure is None else titled(figure, words.say("charts", "title"), note)


def _glance(view: PlateView, svg: Markup, words: Wording) -> Glance:
    flags = [words.say("plate", "flag", {"rule": words.name("rule", rule)}) for rule in view.refusing]
    flags += [words.name("finding", row["code"]) for row in view.findings if row["severity"] != "note" and row["code"] != "plate-refused"]
    return Glance(
        href=quote(f"{FOLDER}/{view.name}.html"),
        plate=view.plate,
        label=view.label,
        accepted=view.accepted,
        told=tell_limits(view, words),
        counts=tell_counts(view, words),
        flags=tuple(dict.fromkeys(flags)),
        svg=svg,
    )


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("exvivo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
