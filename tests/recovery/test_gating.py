"""Gates and deltas on simulated tubes whose true deltas are known."""

from pathlib import Path

import polars as pl
import pytest

import exvivo
from exvivo.engine import Work
from exvivo.gate import gate_specimens
from exvivo.read import read_inputs
from exvivo.simulate import simulate_study
from exvivo.study.decisions import Decisions
from exvivo.study.protocol import load_protocol

TEMPLATE = Path(exvivo.__file__).parent / "templates" / "ssc-ruxolitinib" / "study.yaml"


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Measured ln delta less true ln delta, with its standard error and the drug's code, of 12 simulated donors."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_bytes(TEMPLATE.read_bytes())
    protocol = load_protocol(folder / "study.yaml")
    simulate_study(folder, protocol, Work(seed=1), donors={"SSc": 12, "HD": 2}, seed=20240611)
    inputs = read_inputs(folder, protocol.files, protocol.design, Decisions(), Work(seed=1))
    gating = gate_specimens(inputs, protocol.panels, Decisions(), Work(seed=1))
    truth = pl.read_csv(folder / "truth" / "specimens.csv", infer_schema_length=None).rename({"readout": "marker"})
    joined = gating.expressions.frame.filter(pl.col("status") == "measured").join(truth, on=["specimen", "marker"])
    joined = joined.join(inputs.specimens.frame.select("specimen", "donor", "drug", "serum"), on="specimen")
    return joined.with_columns((pl.col("log_delta") - pl.col("net_value").log()).alias("error"))


def test_deltas_are_right_on_average_and_so_are_their_errors(errors: pl.DataFrame) -> None:
    """Markers well above background; the median of a sum is not the sum of medians, which a dim marker feels (TLR4: under 5 %)."""
    bright = (
        errors.filter(pl.col("marker") != "TLR4")
        .group_by("marker")
        .agg(pl.col("error").mean().alias("bias"), (pl.col("error") / pl.col("se_log")).std().alias("z"))
    )
    assert bright.height == 5
    assert bright.select(pl.col("bias").abs().max()).item() < 0.012
    assert bright.select(pl.col("z").max()).item() < 1.4
    assert bright.select(pl.col("z").min()).item() > 0.7
    assert abs(errors.filter(pl.col("marker") == "TLR4")["error"].mean()) < 0.05  # type: ignore[arg-type,operator]  # a mean of floats


def test_brighter_background_under_the_drug_makes_no_effect(errors: pl.DataFrame) -> None:
    """The simulated drug brightens every channel by 15 %; paired differences of the errors stay within 3 standard errors of zero."""
    arms = sorted(errors["drug"].unique().to_list())
    paired = errors.pivot(on="drug", index=["donor", "serum", "marker"], values="error", aggregate_function="mean").drop_nulls()
    moved = paired.with_columns((pl.col(arms[1]) - pl.col(arms[0])).alias("d")).group_by("marker")
    for marker, mean, sd, n in moved.agg(pl.col("d").mean(), pl.col("d").std().alias("sd"), pl.len()).iter_rows():
        assert abs(mean) < max(3 * sd / n**0.5, 0.01), marker
