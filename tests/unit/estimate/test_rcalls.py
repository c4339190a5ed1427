"""Every method's R code, run in R where R is installed."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import exvivo
from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Reading
from exvivo.estimate.rcalls import WRITERS, write_call
from exvivo.estimate.serum import estimate_between_sera
from exvivo.estimate.tasks import tabulate
from exvivo.report.reproduce import compose_reproduction, name_estimate
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import draw_truth
from exvivo.study.decisions import Decisions
from exvivo.study.evidence import CALLS
from exvivo.study.protocol import AnalysisPlan, load_protocol
from exvivo.study.run import LOADINGS, Effects
from exvivo.study.statuses import Method
from exvivo.study.tables import EFFECTS, FINDINGS, SUPPLEMENTARY

Kit = Any
TEMPLATE = Path(exvivo.__file__).parent / "templates" / "ssc-ruxolitinib" / "study.yaml"
WITHOUT_CALL = {Method.CENSORED_CROSSED, Method.IMPUTED}
"""Methods of which R has no likeness in a few lines, or whose random draws are our own."""

needs_r = pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed: no call is run")


@pytest.fixture(scope="module")
def demo(kit: Kit) -> Effects:
    """The seed study of 24 + 8 donors, drawn as tables."""
    protocol = load_protocol(TEMPLATE)
    outcomes = tables_of(draw_truth(protocol, {"SSc": 24, "HD": 8}, 1), rng_for(1, "readings"))
    return estimate_effects(outcomes, kit.shared(), FINDINGS.empty(), protocol.analysis, Decisions(), Work())


def run_in_r(effects: Effects, folder: Path) -> set[str]:
    """Run reproduce.R; names of the estimates that R found again. Blocks whose packages are absent leave themselves out."""
    script = folder / "reproduce.R"
    script.write_text(compose_reproduction(effects), encoding="utf-8")
    done = subprocess.run(["Rscript", "--vanilla", str(script)], capture_output=True, check=False, encoding="utf-8")  # noqa: S603, S607
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert done.returncode == 0, done.stderr + "\n".join("\t".join(line) for line in lines if line[-1] != "ok")
    found = {line[0] for line in lines}
    tables = {table.kind.name: table.rows() for table in (effects.effects, effects.supplementary)}
    called = {name_estimate(tables[table][row - 1]) for table, row in effects.calls.frame.select("table", "row").iter_rows()}
    assert found == called or "left out, needs" in done.stdout
    return found


def some_calls(effects: Effects) -> Effects:
    """The same with the calls of every registered estimate, and of the first row of each other method."""
    methods = effects.supplementary.frame["method"].to_list()
    first = {method: place for place, method in reversed(list(enumerate(methods, start=1)))}
    wanted = (pl.col("table") == "effects") | pl.col("row").is_in(list(first.values()))
    return replace(effects, calls=CALLS.build(effects.calls.frame.filter(wanted)))


def test_every_estimate_of_the_demo_has_a_call(demo: Effects) -> None:
    with_call = set(demo.calls.frame.select("table", "row").iter_rows())
    for table in (demo.effects, demo.supplementary):
        rows = table.frame.with_row_index("row", offset=1).filter(pl.col("status").is_in(["estimated", "bound_only"]))
        without = {row["method"] for row in rows.iter_rows(named=True) if (table.kind.name, row["row"]) not in with_call}
        assert without <= {method.value for method in WITHOUT_CALL}


def test_every_method_has_a_writer_or_is_named() -> None:
    assert set(WRITERS) | WITHOUT_CALL == set(Method)


@needs_r
def test_r_finds_the_demo_again(demo: Effects, tmp_path: Path) -> None:
    found = run_in_r(some_calls(demo), tmp_path)
    assert "P1 CCL18 ruxolitinib/vehicle [sensitivity, half-lloq]" in found


@needs_r
@pytest.mark.slow
def test_r_finds_every_row_of_the_demo_again(demo: Effects, tmp_path: Path) -> None:
    run_in_r(demo, tmp_path)


def apart(kit: Kit, plates: Sequence[str]) -> list[dict[str, Any]]:
    """Pairs of which vehicle and drug stand on the plates named, such as ``12``."""
    rng = np.random.default_rng(3)
    pairs = {f"D{i:02}": (v := float(rng.normal(6, 0.5)), v + float(rng.normal(-0.5, 0.2))) for i in range(len(plates))}
    rows: list[dict[str, Any]] = kit.paired(pairs)
    for i, row in enumerate(rows):
        place = plates[i // 2][i % 2]
        row |= {"plates": f"P:{place}", "specimens": f"{row['donor']}-{row['drug']}"}
    return rows


@needs_r
def test_r_finds_shared_curve_error_again(kit: Kit, plan: AnalysisPlan, tmp_path: Path) -> None:
    rows = apart(kit, ["11"] * 8)
    loading = {"analyte": "CCL18", **dict.fromkeys(LOADINGS, 0.0)}
    told = [loading | {"plate": r["plates"], "specimen": r["specimens"], "l1": 0.1 if r["drug"] == "vehicle" else 0.02} for r in rows]
    effects = kit.estimate(rows, kit.only(plan, "P1"), shared_error=kit.shared(told))
    assert "unseen <-" in effects.calls.frame["code"][0]
    assert "P1 CCL18 ruxolitinib/vehicle [sensitivity, paired-t-log, without calibration]" in run_in_r(effects, tmp_path)


@needs_r
def test_r_finds_pairs_on_two_plates_again(kit: Kit, plan: AnalysisPlan, tmp_path: Path) -> None:
    effects = kit.estimate(apart(kit, ["11", "12", "21", "22", "12", "21", "11"]), kit.only(plan, "P1"))
    assert "P1 CCL18 ruxolitinib/vehicle [sensitivity, plates-fixed]" in run_in_r(effects, tmp_path)


@needs_r
def test_r_finds_a_series_of_doses_again(kit: Kit, plan: AnalysisPlan, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    levels = ("none", "low", "high")
    donors = {f"D{i}": float(rng.normal(6, 0.5)) for i in range(7)}
    rows = [kit.value(d, level, base - 0.3 * k + rng.normal(0, 0.2)) for d, base in donors.items() for k, level in enumerate(levels)][:-1]
    p1 = kit.only(plan, "P1")
    contrast = p1.outcomes[0].contrast.model_copy(update={"level": "high", "versus": "none"})
    drug = plan.factors["drug"].model_copy(update={"levels": levels, "reference": "none", "doses": {"none": 0.0, "low": 1.0, "high": 10.0}})
    outcomes = (p1.outcomes[0].model_copy(update={"contrast": contrast}),)
    effects = kit.estimate(rows, replace(p1, outcomes=outcomes, factors={**plan.factors, "drug": drug}))
    found = run_in_r(effects, tmp_path)
    assert {name for name in found if "trend" in name or "dunnett" in name}


@pytest.mark.parametrize("plates", [["11"] * 6, ["12"] * 6, ["12", "11"]])
def test_plates_are_no_effect_where_they_cannot_be_told_from_conditions(kit: Kit, plan: AnalysisPlan, plates: list[str]) -> None:
    effects = kit.estimate(apart(kit, plates), replace(kit.only(plan, "P1"), rules=plan.rules.model_copy(update={"min_pairs": 2})))
    assert "plates-fixed" not in effects.supplementary.frame["method"].to_list()


@needs_r
def test_r_finds_arms_with_sera_of_different_people_again(plan: AnalysisPlan, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    sera = {name: float(rng.normal(0, 0.4)) for name in ("S1", "S2", "S3", "H1", "H2", "H3")}
    arms: dict[str, list[Reading]] = {"S": [], "H": []}
    for i in range(6):
        base = float(rng.normal(5, 0.5))
        for name, shift in sera.items():
            value = base + shift + float(rng.normal(0, 0.2)) + 0.3 * (name[0] == "S")
            arms[name[0]].append(Reading(f"HD{i}", name, value, value, below=False, measurements=2, specimens=(), plates=()))
    effect = estimate_between_sera(Effect("S3", "CCL18", "SSc_serum/HD_serum"), arms["S"], arms["H"], Rules(plan.rules, "S3"))
    call = write_call(effect, plan.rules.confidence)
    assert call is not None
    listed = CALLS.from_rows([{"table": "effects", "row": 1, "packages": "lme4,pbkrtest", "tolerance": call.tolerance, "code": call.code}])
    run_in_r(Effects(EFFECTS.build(tabulate([effect])), SUPPLEMENTARY.empty(), calls=listed), tmp_path)


@needs_r
def test_a_number_that_is_not_ours_is_named_as_off(kit: Kit, plan: AnalysisPlan, tmp_path: Path) -> None:
    effects = kit.estimate(kit.patients(6), kit.only(plan, "P1"))
    moved = EFFECTS.build(effects.effects.frame.with_columns(pl.col("estimate") * (1 + 1e-5)))
    with pytest.raises(AssertionError, match=r"P1 CCL18 .*ratio.*OFF"):
        run_in_r(replace(effects, effects=moved), tmp_path)
