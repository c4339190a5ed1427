"""Serum in the medium, from none to hopeless: what the stage makes of simulated outcomes."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.simulate.tabulate import tables_of
from exvivo.simulate.truth import Truth, draw_truth
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.run import SharedError
from exvivo.study.tables import FINDINGS, OUTCOMES, SHARED_ERROR, Table
from exvivo.templates import write_template

READOUT = "IL6"


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Protocol:
    folder = tmp_path_factory.mktemp("study")
    write_template(folder, "ssc-ruxolitinib")
    return load_protocol(Path(folder) / "study.yaml")


@pytest.fixture(scope="module")
def truth(protocol: Protocol) -> Truth:
    return draw_truth(protocol, {"SSc": 24, "HD": 8}, 5)


def with_medium(truth: Truth, carried: float, drug: float = 1.0) -> Truth:
    """The study with more or less in its sera, and with a drug that leaves this much of what it left."""
    treated = (truth.cultures["drug"] == "ruxolitinib").to_numpy()[:, None]
    return replace(truth, net=np.where(treated, truth.net * drug, truth.net), carried=truth.carried * carried)


def s3(protocol: Protocol, outcomes: Table) -> tuple[dict[str, object], pl.DataFrame]:
    """The registered row of the readout in S3 and the rows beside it."""
    plan = replace(protocol.analysis, outcomes=tuple(o for o in protocol.analysis.outcomes if o.id == "S3"))
    effects = estimate_effects(outcomes, SharedError(SHARED_ERROR.empty()), FINDINGS.empty(), plan, Decisions(), Work())
    row = next(row for row in effects.effects.rows() if row["readout"] == READOUT)
    return dict(row), effects.supplementary.frame.filter(pl.col("readout") == READOUT)


def drawn(truth: Truth) -> Table:
    return tables_of(truth, rng_for(5, "readings"), [READOUT])


def changed(outcomes: Table, where: pl.Expr, cells: Mapping[str, object]) -> Table:
    named = [
        pl.when(where).then(pl.lit(value, dtype=outcomes.frame.schema[name])).otherwise(name).alias(name) for name, value in cells.items()
    ]
    return OUTCOMES.build(outcomes.frame.with_columns(named))


def test_statuses_follow_the_serum_in_the_medium(protocol: Protocol, truth: Truth) -> None:
    met, methods = [], []
    for carried in (0.0, 0.3, 1.0, 1.5, 3.0, 10.0):
        row, _ = s3(protocol, drawn(with_medium(truth, carried)))
        met.append(str(row["status"]))
        methods.append(row["method"])
        assert (row["estimate"] is None) == (row["status"] != "estimated")
    # blanks below their own limit leave net values between limits; so do totals that are close to their blank
    assert (methods[0], methods[3]) == ("censored-kr-crossed", "mixed-kr-crossed")
    assert (met[0], met[-1]) == ("estimated", "not_estimable")
    assert met == sorted(met)  # once it cannot be estimated, more serum does not help


def test_a_drug_that_leaves_little_is_bounded_not_withheld(protocol: Protocol, truth: Truth) -> None:
    seen = []
    for drug in (1.0, 0.35, 0.1, 0.02):
        row, _ = s3(protocol, drawn(with_medium(truth, 1.0, drug)))
        seen.append((row["status"], row["reason"]))
    assert seen[0] == ("estimated", None)
    assert seen[-1] == ("bound_only", "too-much-censored")
    assert all(reason != "serum-carry-over" for _, reason in seen)
    row, _ = s3(protocol, drawn(with_medium(truth, 1.0, 0.02)))
    assert isinstance(row["ci_high"], float)
    assert row["ci_high"] < 1


def test_hopeless_serum_leaves_the_uncorrected_ratio_beside(protocol: Protocol, truth: Truth) -> None:
    row, beside = s3(protocol, drawn(with_medium(truth, 10.0)))
    assert (row["status"], row["reason"]) == ("not_estimable", "serum-carry-over")
    uncorrected = beside.filter(pl.col("role") == "supplementary").row(0, named=True)
    assert uncorrected["status"] == "estimated"
    assert 0.8 < uncorrected["estimate"] < 1.05  # what serum brought hides the drug, true ratio 0.6
    reasons = dict(beside.filter(pl.col("role") == "supplementary")[1:].select("contrast", "reason").rows())
    assert (reasons["serum"], reasons["interaction"]) == ("serum-carry-over", "serum-carry-over")


def test_blanks_missing(protocol: Protocol, truth: Truth) -> None:
    cells = {
        "status": "missing",
        "reason": "serum-blank-missing",
        "log_value": None,
        "lower_bound": None,
        "upper_bound": None,
        "blank_share": None,
    }
    exposed = pl.col("serum_donor").is_not_null()
    row, _ = s3(protocol, changed(drawn(with_medium(truth, 0.3)), exposed, cells | {"detail": '{"total": "quantified"}'}))
    assert (row["status"], row["reason"]) == ("not_estimable", "serum-carry-over")


def test_condition_missing(protocol: Protocol, truth: Truth) -> None:
    outcomes = drawn(truth)
    without = OUTCOMES.build(outcomes.frame.filter((pl.col("serum") != "SSc_serum") | (pl.col("drug") == "vehicle")))
    row, _ = s3(protocol, without)
    assert (row["status"], row["reason"]) == ("not_estimable", "condition-missing")


def test_one_serum_for_each_donor_is_paired(protocol: Protocol, truth: Truth) -> None:
    frame = drawn(with_medium(truth, 1.5)).frame
    first = frame.filter(pl.col("serum") == "SSc_serum").select("donor", "serum_donor").unique(maintain_order=True)
    own: dict[str, str] = {}
    for donor, serum in first.iter_rows():
        if donor not in own and serum not in own.values():
            own[donor] = serum
    kept = frame.filter(pl.col("serum_donor").is_null() | (pl.col("serum_donor") == pl.col("donor").replace_strict(own, default="")))
    row, _ = s3(protocol, OUTCOMES.build(kept))
    assert row["method"] == "paired-t-log"
    assert json.loads(str(row["detail"]))["one_serum_per_donor"] is True
    assert row["donors"] == row["serum_donors"]
