import dataclasses
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from exvivo.report import write_report
from exvivo.report.document import SECTIONS
from exvivo.report.narrative import tell_intercurrent, tell_methods
from exvivo.report.sections import count_exclusions, list_exclusions, state_headline
from exvivo.report.wording import load_wording
from exvivo.study.design import in_order
from exvivo.study.model import RectangleTemplate, TableReadout
from exvivo.study.run import Run
from exvivo.study.tables import EFFECTS, SKETCHES


class Loads(HTMLParser):
    """What a page would load, its rows by class, its identifiers and the words that are seen."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.rows: list[list[str]] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append(held.get("class", "").split())
        if "id" in held:
            self.ids.append(held["id"])
        if tag == "a":
            self.anchors.append(held["href"])
        else:
            self.loaded += [held[name] for name in ("src", "href", "xlink:href") if name in held]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(text: str) -> Loads:
    page = Loads()
    page.feed(text)
    return page


@pytest.fixture(scope="module")
def html(run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("results")
    write_report(run, folder, versions={"exvivo": "0.1.0"})
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blinded_html(blinded_run: Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("blinded")
    write_report(blinded_run, folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_report_has_every_registered_estimate_in_registry_order(run: Run, html: str) -> None:
    rows = [row for row in read(html).rows if "estimate" in row]
    assert [row[1] for row in rows] == run.effects.effects.frame["status"].to_list()
    assert len(rows) == 28
    assert [f">{number}</td>" in html for number in range(1, 29)] == [True] * 28
    labels = [outcome.label.replace("'", "&#39;") for outcome in run.protocol.analysis.outcomes]
    assert [html.index(label) for label in labels] == sorted(html.index(label) for label in labels)


def test_sections_stand_in_order_and_the_contents_name_them_all(html: str) -> None:
    page = read(html)
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)
    assert page.anchors == [f"#{name}" for name in SECTIONS]


def test_nothing_is_loaded_and_nothing_runs(html: str, blinded_html: str) -> None:
    for text in (html, blinded_html):
        page = read(text)
        assert [target for target in page.loaded if not target.startswith(("data:", "#"))] == []
        assert page.tags.isdisjoint({"script", "iframe", "object", "embed", "form"})
        assert re.findall(r"url\((?!#|data:)", text) == []
        assert "@import" not in text


def test_text_from_files_is_escaped(html: str) -> None:
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_identifiers_are_unique_in_the_page(html: str) -> None:
    ids = read(html).ids
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)


def test_an_estimate_that_could_not_be_made_says_why(html: str) -> None:
    words = load_wording()
    for reason in ("serum-carry-over", "blocked-by-finding", "too-few-per-level", "too-much-censored", "joint-test-only"):
        assert words.say("reason", reason).rstrip(".") in html, reason


def test_few_pairs_are_called_out_with_the_studys_own_number(run: Run, html: str) -> None:
    donors = set(run.effects.effects.frame["donors"].to_list())
    assert donors == {3, 6}
    assert "With n = 3 no rank test and no sign-flip test can reach p &lt; 0.25" in html
    assert "This concerns S3 CCL18, PDGF-BB" in html
    assert "With n = 6" not in html
    assert "With n = 5" not in html


def test_no_other_outcome_stands_in_for_a_primary_one(run: Run) -> None:
    words = load_wording()
    assert state_headline(run, words).startswith("CCL18 with ruxolitinib was ")
    file = run.protocol.file
    outcomes = tuple(outcome.model_copy(update={"role": "secondary"}) for outcome in file.outcomes)
    bare = dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, file=file.model_copy(update={"outcomes": outcomes})))
    assert state_headline(bare, words) == "The protocol names no primary outcome. Registered estimates: 28."


def test_modifiers_are_called_dependent_by_the_names_of_the_protocol(run: Run, html: str) -> None:
    (sentence,) = re.findall(r"The modifiers are not independent of each other: (.*?) describe", html)
    assert len(sentence.split(", ")) == len(run.protocol.analysis.modifiers)
    assert "ratio of ratios per +10 points" in html


def test_only_events_that_the_study_can_meet_are_told(run: Run) -> None:
    words = load_wording()
    file = run.protocol.file
    tables = {name: TableReadout(kind="table", label=name, table="t") for name in file.readouts}
    bare = dataclasses.replace(run.protocol, file=file.model_copy(update={"readouts": tables, "clinical": None}))
    assert "plate" not in " ".join(tell_intercurrent(bare, words))
    assert "blood draw" not in " ".join(tell_intercurrent(bare, words))
    assert len(tell_intercurrent(run.protocol, words)) == 6


def test_values_left_out_are_counted_and_told_once_for_a_target(run: Run) -> None:
    words = load_wording()
    rows = [row.cells for row in list_exclusions(run, words).rows if row.cells[1] == "A/SSc002"]
    assert rows == [("value", "A/SSc002", "CCL18, IL6", "decision 3", words.say("reason", "excluded"), "decision: 3")]
    counted = count_exclusions(run, words)
    assert counted.heads == ("Readout", "excluded by decision", "below LLOQ")
    assert [row.cells for row in counted.rows] == [("CCL18", "1", "0"), ("IL-6", "1", "1")]


def test_names_are_sorted_as_people_count() -> None:
    assert sorted(["p:10", "p:2", "10", "p", "2:a", "p:2:b"], key=in_order) == ["p", "p:2", "p:2:b", "p:10", "2:a", "10"]


def test_contact_sheets_beyond_the_first_are_folded(run: Run, tmp_path: Path) -> None:
    sketches = run.gating.sketches.frame.filter(pl.col("donor") == "HD01")
    frames = [run.gating.sketches.frame, *(sketches.with_columns(donor=pl.lit(f"HD{k}")) for k in range(20, 30))]
    many = dataclasses.replace(run, gating=dataclasses.replace(run.gating, sketches=SKETCHES.build(pl.concat(frames))))
    write_report(many, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Show 5 further donors" in text
    donors = [caption for caption in re.findall(r"<figcaption>([^<]+)</figcaption>", text) if caption.startswith(("SSc0", "HD"))]
    assert donors == ["SSc001", "SSc002", "HD01", *(f"HD{k}" for k in range(20, 30))]


def test_a_blinded_report_shows_no_number_of_an_effect(blinded_run: Run, blinded_html: str) -> None:
    page = read(blinded_html)
    assert [row[1] for row in page.rows if "estimate" in row] == ["blinded"] * 28
    assert load_wording().say("state", "blinded") in blinded_html
    assert load_wording().say("prose", "blinded_figures") in blinded_html
    assert "pairs-0" not in page.ids
    assert 'aria-label="Experiment' not in blinded_html


def test_the_same_run_gives_the_same_report(run: Run, html: str, tmp_path: Path) -> None:
    write_report(run, tmp_path, versions={"exvivo": "0.1.0"})
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html


def test_every_code_of_the_run_is_told_in_words(run: Run, html: str) -> None:
    words = load_wording()
    effects = [*run.effects.effects.rows(), *run.effects.supplementary.rows()]
    assert {row["method"] for row in effects if row["method"]} <= set(words.sections["method"])
    assert {row["rule"] for row in run.calibration.verdicts.rows()} <= set(words.sections["rule"])
    for row in run.findings.rows():
        assert words.say("finding", str(row["code"])) in html


def test_a_run_without_curves_cells_or_findings_still_has_its_report(run: Run, tmp_path: Path) -> None:
    from exvivo.study.evidence import CALLS
    from exvivo.study.tables import CURVES, EXCLUSIONS, FINDINGS, SUPPLEMENTARY, VERDICTS

    bare = dataclasses.replace(
        run,
        calibration=dataclasses.replace(run.calibration, curves=CURVES.empty(), verdicts=VERDICTS.empty()),
        gating=dataclasses.replace(run.gating, sketches=SKETCHES.empty()),
        effects=dataclasses.replace(run.effects, supplementary=SUPPLEMENTARY.empty(), calls=CALLS.empty()),
        findings=FINDINGS.empty(),
        exclusions=EXCLUSIONS.empty(),
    )
    write_report(bare, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for code in ("none_curves", "none_gating", "none_verdicts", "none_supplementary", "none_findings", "none_exclusions", "no_versions"):
        assert load_wording().say("prose", code) in text


def test_a_run_in_which_nothing_could_be_estimated_still_has_its_report(run: Run, tmp_path: Path) -> None:
    blank = dict.fromkeys(("estimate", "ci_low", "ci_high", "p", "p_adjusted", "donors", "method", "wells", "measurements"))
    rows = [row | blank | {"status": "not_estimable", "reason": "readout-missing"} for row in run.effects.effects.rows()]
    effects = dataclasses.replace(run.effects, effects=EFFECTS.from_rows(rows))
    outcomes = dataclasses.replace(run.outcomes, frame=run.outcomes.frame.clear())
    write_report(dataclasses.replace(run, effects=effects, outcomes=outcomes), tmp_path)
    assert load_wording().say("reason", "readout-missing").rstrip(".") in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.browser
def test_a_browser_opens_the_report_offline_with_one_request_and_no_error(html: str, tmp_path: Path) -> None:
    from playwright.sync_api import ConsoleMessage, Request, sync_playwright

    executable = Path("/usr/bin/chromium")
    if not executable.exists():
        if os.environ.get("EXVIVO_REQUIRE_CHROMIUM"):
            pytest.fail(f"there is no browser at {executable}, and this run must not skip it")
        pytest.skip(f"there is no browser at {executable}")
    file = tmp_path / "report with a space.html"
    file.write_text(html, encoding="utf-8")
    requests: list[str] = []
    errors: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith("data:"):
            requests.append(request.url)

    def note_message(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            errors.append(message.text)

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(executable), args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.on("request", note_request)
        page.on("console", note_message)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(file.as_uri())
        assert page.locator("tr.estimate").count() == 28
        assert page.locator("figure svg").count() >= 8
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.locator("details").evaluate_all("all => all.map(one => one.open = true)")
        page.locator("nav a[href='#findings']").click()
        assert page.locator("#findings h2").is_visible()
        page.set_viewport_size({"width": 390, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        page.set_viewport_size({"width": 700, "height": 1000})
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert page.locator("pre").count() > page.locator("pre:visible").count() == 0
        browser.close()
    assert requests == [file.as_uri()]
    assert errors == []


FIXED = RectangleTemplate.model_validate({"name": "Live", "method": "rectangle", "bounds": {"PE-A": {"low": 1}}})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {},
            "in each file. Gates (Time: time, Cells: scatter, Singlets: singlets, Live: viability) were found",
        ),
        ({"compensation": "none"}, "after compensation by no matrix."),
        ({"compensation": "single_stains"}, "by a matrix from the single stains of each batch."),
        ({"compensation": "comp/m.csv"}, "by the spillover matrix in comp/m.csv."),
        ({"gates_file": "gates.wsp"}, "Gates were taken from gates.wsp. The value"),
        (
            {"gates": (FIXED,)},
            "Gates that the protocol states (Live: rectangle) are the same for every tube. The value",
        ),
    ],
)
def test_the_report_tells_where_gates_and_matrices_come_from(run: Run, changes: dict[str, object], told: str) -> None:
    rules = run.protocol.file.panel
    assert rules is not None
    panel = rules.model_copy(update=changes)
    protocol = dataclasses.replace(run.protocol, file=run.protocol.file.model_copy(update={"panel": panel}))
    assert any(told in sentence for sentence in tell_methods(dataclasses.replace(run, protocol=protocol), load_wording()))


def test_methods_tell_a_serum_gate_where_there_is_one(run: Run) -> None:
    told = " ".join(tell_methods(run, load_wording()))
    rules = run.protocol.analysis.rules.model_copy(update={"serum_gate": True})
    file = run.protocol.file.model_copy(update={"analysis": rules})
    gated = dataclasses.replace(run, protocol=dataclasses.replace(run.protocol, file=file))
    assert "A claim of S3 also needs the serum effect" in " ".join(tell_methods(gated, load_wording()))
    assert "also needs" not in told


def test_methods_of_a_blinded_study_claim_no_estimate(blinded_run: Run, blinded_html: str) -> None:
    told = " ".join(tell_methods(blinded_run, load_wording()))
    assert "Methods used" not in told
    assert "was added to the variance" not in told
    assert "Beside them" not in told
    assert "Circles: the same ratios shrunken" not in blinded_html
