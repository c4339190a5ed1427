"""Gates and deltas on simulated tubes whose true deltas are known."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import exvivo
from exvivo.engine import Work
from exvivo.gate import gate_specimens
from exvivo.read import read_inputs
from exvivo.simulate import Events, Look, simulate_study
from exvivo.simulate.bench import compose_specimens, label_tubes
from exvivo.simulate.clinic import write_clinic
from exvivo.simulate.conditions import culture_strengths
from exvivo.simulate.cytometer import write_tubes
from exvivo.simulate.truth import draw_truth
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.protocol import Protocol, load_protocol

UNBLINDED = Decisions((Decision(1, "2026-01-01T00:00:00Z", "test", DecisionKind.UNBLIND, "", "", "simulated", ""),))
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
    told = errors.group_by("marker").agg(pl.col("error").mean().alias("bias"), (pl.col("error") / pl.col("se_log")).std().alias("z"))
    assert told.height == 6
    assert told.select(pl.col("bias").abs().max()).item() < 0.012
    assert told.select(pl.col("z").max()).item() < 1.4
    assert told.select(pl.col("z").min()).item() > 0.7


def test_brighter_background_under_the_drug_makes_no_effect(errors: pl.DataFrame) -> None:
    """The simulated drug brightens every channel by 15 %; paired differences of the errors stay within 3 standard errors of zero."""
    arms = sorted(errors["drug"].unique().to_list())
    paired = errors.pivot(on="drug", index=["donor", "serum", "marker"], values="error", aggregate_function="mean").drop_nulls()
    moved = paired.with_columns((pl.col(arms[1]) - pl.col(arms[0])).alias("d")).group_by("marker")
    for marker, mean, sd, n in moved.agg(pl.col("d").mean(), pl.col("d").std().alias("sd"), pl.len()).iter_rows():
        assert abs(mean) < max(3 * sd / n**0.5, 0.01), marker


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Paired changes of three studies of 20 donors whose drug changes no marker: more autofluorescence by half, larger cells by 30 %."""
    folder = tmp_path_factory.mktemp("looks")
    (folder / "study.yaml").write_bytes(TEMPLATE.read_bytes())
    protocol = load_protocol(folder / "study.yaml")
    events = Events(2500, 2000, 500, Look(autofluorescence=1.5, size=1.3, amounts_held=True))
    return pl.concat([_paired_changes(folder / str(seed), protocol, events, seed) for seed in (101, 102, 103)])


def _paired_changes(folder: Path, protocol: Protocol, events: Events, seed: int) -> pl.DataFrame:
    truth = draw_truth(protocol, {"SSc": 20, "HD": 0}, seed)
    drug = culture_strengths(protocol, truth.cultures).to_numpy()[:, None]
    places = {donor: row for row, donor in enumerate(truth.people["donor"])}
    own = truth.log_ratio[[places[donor] for donor in truth.cultures["donor"]]]
    truth = dataclasses.replace(truth, net=truth.net * np.exp(-drug * own))
    tubes = label_tubes(truth, seed)
    folder.mkdir()
    (folder / protocol.files.specimens).write_bytes(compose_specimens(tubes, tuple(protocol.file.factors)))
    write_clinic(folder, truth, seed)
    write_tubes(folder, truth, tubes, Work(), seed, events)
    inputs = read_inputs(folder, protocol.files, protocol.design, UNBLINDED, Work())
    found = gate_specimens(inputs, protocol.panels, UNBLINDED, Work()).expressions.frame
    net = pl.DataFrame(truth.net, schema=list(truth.readouts)).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    known = tubes.of("cells").select("specimen", "donor", "drug", "row").join(net, on="row").drop("row")
    values = known.unpivot(index=["specimen", "donor", "drug"], variable_name="marker", value_name="net")
    told = found.join(values, on=["specimen", "marker"]).select(
        "donor",
        "drug",
        "marker",
        pl.lit(seed).alias("seed"),
        (pl.col("log_delta") - pl.col("net").log()).alias("delta"),
        (pl.col("median").log() - pl.col("net").log()).alias("plain"),
        (pl.col("ratio").log() - pl.col("net").log()).alias("ratio"),
    )
    sides = [told.filter(pl.col("drug") == level).drop("drug") for level in ("ruxolitinib", "vehicle")]
    pairs = sides[0].join(sides[1], on=["donor", "marker", "seed"], suffix="_v")
    return pairs.select("marker", "donor", *((pl.col(n) - pl.col(f"{n}_v")).alias(n) for n in ("delta", "plain", "ratio")))


@pytest.mark.slow
def test_a_drug_that_changes_looks_alone_has_no_effect_on_delta_and_a_false_one_on_the_ratio(looks: pl.DataFrame) -> None:
    """The registered statistic stays within 2 % of no effect, widened by three standard errors; the others do not.

    The larger run is ``benchmarks/gating_recovery.py``.
    """
    for (marker,), part in looks.group_by("marker"):
        slack = 3 * float(np.std(part["delta"].to_numpy())) / part.height**0.5
        means = {name: float(np.mean(part[name].to_numpy())) for name in ("delta", "plain", "ratio")}
        assert abs(means["delta"]) < 0.02 + slack, marker
        assert means["ratio"] < np.log(0.9), marker
    dim = looks.filter(pl.col("marker") == "TLR4")
    assert float(np.mean(dim["plain"].to_numpy())) > np.log(1.15)
