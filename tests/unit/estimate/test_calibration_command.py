"""The calibration command analyses thousands of studies as the stage analyses one, and exits as its cells say."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from exvivo.estimate.carried import Curves, carry_calibration, share_of_curves
from exvivo.estimate.contrasts import Rules, estimate_pairs
from exvivo.estimate.effect import Effect
from exvivo.estimate.pairs import Pairs, Reading
from exvivo.numerics.permutation import compare_sign_flips
from exvivo.numerics.ranks import compare_signed_rank
from exvivo.study.model import Analysis
from exvivo.study.statuses import EffectStatus, Method

Array = NDArray[np.float64]
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
LOG_RATIO = float(np.log(0.6))
RULES = Rules(Analysis(seed=1), "P1/CCL18")


@pytest.fixture(scope="module")
def command() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("estimation_calibration")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def design(command: ModuleType) -> ModuleType:
    return importlib.import_module("estimation_design")


def readings(bounds: Array, plate: Array, arm: str, kept: Array) -> tuple[Reading, ...]:
    return tuple(
        Reading(
            donor=f"D{i:02}",
            serum_donor="",
            low=float(bounds[i, 0]),
            high=float(bounds[i, 1]),
            below=bool(np.isinf(bounds[i, 0])),
            measurements=2,
            specimens=(f"{arm}{i}",),
            plates=(str(plate[i]),),
        )
        for i in np.flatnonzero(kept)
    )


def estimate(studies: Any, study: int) -> Effect:  # noqa: ANN401  a benchmark's own object
    """What the stage makes of one study."""
    kept = ~np.isnan(studies.drug[study, :, 1] + studies.comparator[study, :, 1])
    pairs = Pairs(
        readings(studies.drug[study], studies.plate, "d", kept),
        readings(studies.comparator[study], studies.plate, "c", kept),
    )
    arms = (("d", studies.loading_drug), ("c", studies.loading_comparator))
    width = studies.loading_drug.shape[-1]
    loadings = {
        (str(plate), f"{arm}{i}"): np.pad(loading[study, i], (0, 6 - width))
        for arm, loading in arms
        for i, plate in enumerate(studies.plate)
    }
    shared = share_of_curves(Curves(loadings if width else {}, {}).loadings(pairs))
    return carry_calibration(estimate_pairs(Effect("P1", "CCL18", "drug"), pairs, RULES), shared, 0.95)


CELLS: dict[str, dict[str, Any]] = {
    "complete": {"donors": 8, "plates": 2},
    "missing": {"donors": 6, "plates": 3, "missing": True},
    "some censored": {"donors": 10, "plates": 3, "censored": 0.2},
    "censored and missing": {"donors": 12, "plates": 1, "censored": 0.4, "missing": True},
    "curves": {"donors": 7, "plates": 2, "curve": True, "quiet": True},
}


def test_many_studies_are_analysed_as_the_stage_analyses_one(design: ModuleType) -> None:
    methods: set[Method | None] = set()
    for shape in CELLS.values():
        studies = design.draw(design.Cell(7, **shape), LOG_RATIO, 10, np.random.default_rng(11))
        null, truth = design.analyse(studies), design.analyse(studies.moved(LOG_RATIO))
        effects = [estimate(studies, study) for study in range(10)]
        methods |= {effect.method for effect in effects}
        assert null.estimated.tolist() == [effect.status is EffectStatus.ESTIMATED for effect in effects]
        np.testing.assert_allclose(null.p, [np.nan if effect.p is None else effect.p for effect in effects], rtol=1e-6, atol=1e-12)
        for effect, p, estimated in zip(effects, truth.p, truth.estimated, strict=True):
            if estimated:
                assert ((effect.ci_low or 0.0) <= 0.6 <= (effect.ci_high or np.inf)) == (p >= 0.05)
    assert methods >= {Method.PAIRED_T, Method.CENSORED, Method.SIGN_TEST}, "each method must be among what is compared"


@pytest.mark.parametrize("donors", [7, 14])
def test_exact_tests_are_those_of_one_study(design: ModuleType, donors: int) -> None:
    studies = design.draw(design.Cell(3, donors, 2, missing=True), -0.2, 12, np.random.default_rng(2))
    ranks, flips = design.compare_ranks(studies), design.compare_flips(studies)
    for study in range(12):
        d = studies.drug[study, :, 0] - studies.comparator[study, :, 0]
        d = d[~np.isnan(d)]
        assert ranks[study] == pytest.approx(compare_signed_rank(d).p, rel=1e-12)
        assert flips[study] == pytest.approx(compare_sign_flips(d).p, rel=1e-12)


def test_drawn_flips_agree_with_the_stage_within_their_error(design: ModuleType) -> None:
    studies = design.draw(design.Cell(3, 25, 1), -0.15, 6, np.random.default_rng(3))
    for p, d in zip(design.compare_flips(studies), studies.drug[..., 0] - studies.comparator[..., 0], strict=True):
        expected = compare_sign_flips(d, rng=np.random.default_rng(1)).p
        assert abs(p - expected) < 4 * np.sqrt(expected * (1 - expected) / 1000) + 1e-3


@pytest.mark.parametrize("missing", [False, True])
def test_the_normal_column_is_what_statsmodels_gives(design: ModuleType, missing: bool) -> None:  # noqa: FBT001  a parameter of the test
    studies = design.draw(design.Cell(3, 12, 1, missing=missing), -0.2, 4, np.random.default_rng(4))
    for study, p in enumerate(design.compare_normal(studies)):
        arms = [arm[study, :, 0] for arm in (studies.drug, studies.comparator)]
        y, donor = np.concatenate(arms), np.tile(np.arange(12), 2)
        treated = np.repeat([1.0, 0.0], 12)
        kept = ~np.isnan(y)
        fit = sm.MixedLM(y[kept], sm.add_constant(treated[kept]), donor[kept]).fit(reml=True)
        assert p == pytest.approx(fit.pvalues[1], rel=0.05 if missing else 1e-3)


def test_a_share_is_judged_with_three_errors_to_spare(command: ModuleType) -> None:
    assert command.Share(500, 10_000).within(0.045, 0.055)
    assert command.Share(618, 10_000).within(0.045, 0.055)
    assert not command.Share(620, 10_000).within(0.045, 0.055)
    assert not command.Share(387, 10_000).within(0.045, 0.055)
    assert str(command.Share(0, 0)) == "-"


def test_cells_of_each_table_run_and_are_in_their_bands(command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--cells", "4,20,37,105,123", "--runs", "400", "--censored-runs", "30", "--jobs", "1"]
    assert command.main(asked) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if " | " in line]
    heads = [line for line in lines if line[0] == "cell"]
    assert [line[0] for line in lines if line[0] != "cell"] == ["4", "20", "37", "105", "123"]
    assert [len(head) for head in heads] == [len(line) for line in lines if line[0] in ("20", "37", "105", "123")]


def test_plates_stand_side_by_side_in_a_document(command: ModuleType) -> None:
    lines = [command.Line(("0", "6", "complete", "1", "5.0"), True), command.Line(("1", "6", "complete", "2", "5.0"), False)]
    other = command.Line(("2", "8", "complete", "1", "4.9"), True)
    merged = list(command.merge([*lines, other]))
    assert [line.cells for line in merged] == [("0 / 1", "6", "complete", "1 / 2", "5.0"), other.cells]
    assert [line.good for line in merged] == [False, True]


def test_a_cell_outside_its_band_is_an_exit_with_one(command: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def eager(studies: Any) -> Any:  # noqa: ANN401  a benchmark's own objects
        p = design_analyse(studies)
        return type(p)(p.p / 4, p.estimated)

    design_analyse = command.analyse
    monkeypatch.setattr(command, "analyse", eager)
    assert command.main(["--cells", "4", "--runs", "400", "--jobs", "1"]) == 1
