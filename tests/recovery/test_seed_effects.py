"""The registered estimates of the seed study against the truth that simulated studies were drawn from.

Studies are drawn as tables (`simulate.tabulate`), 24 patients and 8 healthy donors each, seeds 1 to 70 (under
serum 1 to 20). With n studies the share that an interval of 95 % covers has the Monte Carlo error
sqrt(0.95 * 0.05 / n) = 2.6 % (4.9 %), and a mean error that of its own scatter; a row fails beyond three of them.
A larger run of every row is `benchmarks/study_coverage.py --all`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import exvivo
from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import draw_truth, true_effects
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import AnalysisPlan, Protocol, load_protocol
from exvivo.study.run import SharedError
from exvivo.study.tables import FINDINGS, SHARED_ERROR

pytestmark = pytest.mark.slow

TEMPLATE = Path(exvivo.__file__).parent / "templates" / "ssc-ruxolitinib" / "study.yaml"
STUDIES, SERUM_STUDIES = 70, 20
KEY = ["outcome", "readout", "modifier", "contrast"]
ROWS = [
    ("P1", "CCL18", None),
    ("S1", "CXCL4", None),
    ("S2", "CD206", None),
    ("S3", "CD206", None),
    ("S3", "CXCL4", None),
    ("S4", "CCL18", "mrss"),
    ("S4", "CCL18", "du"),
    ("S4", "CCL18", "subset"),
]


def narrow(plan: AnalysisPlan, readouts: Mapping[str, tuple[str, ...]]) -> AnalysisPlan:
    """The plan with some outcomes, and some readouts of each."""
    kept = (outcome.model_copy(update={"readouts": readouts[outcome.id]}) for outcome in plan.outcomes if outcome.id in readouts)
    return replace(plan, outcomes=tuple(kept))


def estimate(protocol: Protocol, readouts: Mapping[str, tuple[str, ...]], seeds: range) -> Iterator[pl.DataFrame]:
    plan, measured = narrow(protocol.analysis, readouts), sorted({name for names in readouts.values() for name in names})
    shared, findings = SharedError(SHARED_ERROR.empty()), FINDINGS.empty()
    for seed in seeds:
        outcomes = tables_of(draw_truth(protocol, {"SSc": 24, "HD": 8}, seed), rng_for(seed, "readings"), measured)
        yield estimate_effects(outcomes, shared, findings, plan, Decisions(), Work(seed=seed)).effects.frame


@pytest.fixture(scope="module")
def studies() -> pl.DataFrame:
    """Registered rows of all studies beside their true ratios."""
    protocol = load_protocol(TEMPLATE)
    patients = {"P1": ("CCL18",), "S1": ("CXCL4",), "S2": ("CD206",), "S4": ("CCL18",)}
    found = [*estimate(protocol, patients, range(1, STUDIES + 1))]
    found += estimate(protocol, {"S3": ("CXCL4", "CD206")}, range(1, SERUM_STUDIES + 1))
    return pl.concat(found).join(true_effects(protocol).drop("level"), on=KEY, how="left", nulls_equal=True)


def select(studies: pl.DataFrame, outcome: str, readout: str, modifier: str | None) -> pl.DataFrame:
    rows = studies.filter(pl.col("outcome") == outcome, pl.col("readout") == readout, pl.col("modifier").eq_missing(pl.lit(modifier)))
    return rows.with_columns(error=(pl.col("estimate") / pl.col("true_ratio")).log())


@pytest.mark.parametrize(("outcome", "readout", "modifier"), ROWS)
def test_intervals_cover_and_estimates_are_unbiased(studies: pl.DataFrame, outcome: str, readout: str, modifier: str | None) -> None:
    every = select(studies, outcome, readout, modifier)
    rows = every.filter(pl.col("status") == "estimated")
    assert rows.height > 0.85 * every.height
    truth, low, high = (rows[name].to_numpy() for name in ("true_ratio", "ci_low", "ci_high"))
    assert np.mean((low <= truth) & (truth <= high)) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / rows.height)
    error = rows["error"].to_numpy()
    assert abs(error.mean()) < 3 * error.std(ddof=1) / math.sqrt(rows.height)


def test_intervals_are_no_wider_than_they_need_be(studies: pl.DataFrame) -> None:
    """The half-width over the estimate's own scatter is the t quantile; 70 studies know a scatter to 8.5 %."""
    for outcome, readout in (("P1", "CCL18"), ("S2", "CD206")):
        rows = select(studies, outcome, readout, None)
        half = (np.log(rows["ci_high"].to_numpy()) - np.log(rows["ci_low"].to_numpy())) / 2
        assert np.median(half) / rows["error"].to_numpy().std(ddof=1) == pytest.approx(2.08, rel=0.25)


def test_a_ratio_of_one_is_rejected_as_often_as_promised(studies: pl.DataFrame) -> None:
    """CXCL4, whose true ratio is one: at most 5 % beyond three Monte Carlo errors, with and without serum."""
    for outcome in ("S1", "S3"):
        p = select(studies, outcome, "CXCL4", None)["p"].to_numpy()
        assert np.mean(p < 0.05) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / p.size)


def test_the_effect_is_found_where_it_is_large(studies: pl.DataFrame) -> None:
    assert np.mean(select(studies, "P1", "CCL18", None)["p"].to_numpy() < 0.05) > 0.9
    assert np.mean(select(studies, "S2", "CD206", None)["p"].to_numpy() < 0.05) > 0.99
