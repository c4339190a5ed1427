"""How well gates and deltas recover what was simulated: studies of 20 donors, six markers, written as FCS files and read back.

    python benchmarks/gating_recovery.py --seeds 1-200 --results gating_recovery.csv

Every seed is two studies of 20 donors, two conditions, a full stain and an isotype tube each (4,000 and 2,500 events) and one unstained
tube (1,000). *effect*: the registered effects, and a drug that makes cells 15 % brighter in every channel. *look*: no marker changes;
the drug adds 50 % of autofluorescence and makes cells 30 % larger. Finished seeds stand in the results file and are not computed again;
the table is printed over all of them. Criteria, for each marker: |bias of the paired ln ratio of delta| < 2 %; 92 to 97 % of the 95 %
intervals of the effect cover the population's ratio; per cent positive within 1 point on average; no effect on delta in *look*. Bands are
widened by three Monte-Carlo standard errors. The truth of per cent positive is that of 10,000 macrophages without any gate.
"""

import argparse
import csv
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from ruamel.yaml import YAML

from exvivo.assemble import assemble_dataset
from exvivo.calibrate import calibrate_plates
from exvivo.engine import Work, rng_for
from exvivo.estimate import estimate_effects
from exvivo.gate import gate_specimens
from exvivo.read import read_inputs
from exvivo.simulate.bench import Tubes, compose_specimens, label_tubes
from exvivo.simulate.clinic import write_clinic
from exvivo.simulate.conditions import culture_strengths
from exvivo.simulate.cytometer import Events, Look, Stain, draw_cells, panel_of, plan_sessions, write_tubes
from exvivo.simulate.truth import Truth, draw_truth, true_effects
from exvivo.study.decisions import Decision, DecisionKind, Decisions
from exvivo.study.protocol import Protocol, load_protocol
from exvivo.study.statuses import TubeKind
from exvivo.study.tables import FINDINGS
from exvivo.templates import write_template

Row = tuple[float | str, ...]

DONORS, CELLS = 20, 10_000
SCENARIOS: Mapping[str, Events] = {
    "effect": Events(),
    "look": Events(look=Look(autofluorescence=1.5, size=1.3, amounts_held=True)),
}
UNBLIND = Decisions((Decision(1, "2026-01-01T00:00:00Z", "benchmark", DecisionKind.UNBLIND, "", "", "simulation", ""),))
BIAS, COVER_LOW, COVER_HIGH, POINTS = 0.02, 0.92, 0.97, 1.0


MEANS = ("error", "plain", "ratio", "percent", "error_sd", "stated_var", "percent_error", "percent_miss", "delta_covered")
COLUMNS = ("seed", "scenario", "marker", "true_ratio", "pairs", "estimate", "ci_low", "ci_high", "p", "gate_var", *MEANS)


def flow_protocol(folder: Path) -> Protocol:
    """The seed study cut to its markers, in patients, with and without the drug."""
    write_template(folder, "ssc-ruxolitinib")
    yaml, path = YAML(), folder / "study.yaml"
    study: Any = yaml.load(path)
    study["readouts"] = {name: block for name, block in study["readouts"].items() if block["kind"] == "flow"}
    study["experiments"] = {"A": study["experiments"]["A"]}
    study["analysis_sets"] = {"FAS": study["analysis_sets"]["FAS"]}
    study["outcomes"] = [outcome for outcome in study["outcomes"] if outcome["id"] == "S2"]
    del study["modifiers"]
    with path.open("wb") as file:
        yaml.dump(study, file)
    return load_protocol(path)


def draw_study(protocol: Protocol, scenario: str, seed: int) -> Truth:
    """People, cultures and deltas; without any effect of the drug on markers where only looks change."""
    truth = draw_truth(protocol, {"SSc": DONORS}, seed)
    if scenario == "effect":
        return truth
    drug = culture_strengths(protocol, truth.cultures).to_numpy()[:, None]
    places = {donor: row for row, donor in enumerate(truth.people["donor"])}
    own = truth.log_ratio[[places[donor] for donor in truth.cultures["donor"]]]
    return replace(truth, net=truth.net * np.exp(-drug * own))


def true_percents(truth: Truth, tubes: Tubes, events: Events, seed: int, quantile: float) -> pl.DataFrame:
    """Share of macrophages above the isotype's quantile, were there no gate and ``CELLS`` cells."""
    panel, rows = panel_of(truth.protocol), []
    weights = np.linalg.inv(np.array(panel.spillover.matrix))
    which = np.zeros(CELLS, dtype=np.int64)
    for session in plan_sessions(Path(), truth, tubes, seed, events):
        for specimen in session.specimens:
            rng = rng_for(seed, f"percent {specimen.name}")
            full, isotype = (
                draw_cells(panel, specimen, Stain(kind), which, rng)[:, -len(weights) :] @ weights
                for kind in (TubeKind.FULL, TubeKind.ISOTYPE)
            )
            share = 100 * np.mean(full > np.quantile(isotype, quantile, axis=0), axis=0)
            rows += [(specimen.name, marker, float(share[k])) for k, marker in enumerate(panel.markers)]
    return pl.DataFrame(rows, schema=["specimen", "marker", "true_percent"], orient="row")


def run_seed(protocol: Protocol, scenario: str, seed: int, work: Work) -> list[Row]:
    """Simulate, write, read, gate, estimate and compare one study."""
    events, truth = SCENARIOS[scenario], draw_study(protocol, scenario, seed)
    tubes = label_tubes(truth, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / protocol.files.specimens).write_bytes(compose_specimens(tubes, tuple(protocol.file.factors)))
        write_clinic(folder, truth, seed)
        write_tubes(folder, truth, tubes, work, seed, events)
        inputs = read_inputs(folder, protocol.files, protocol.design, UNBLIND, work)
        calibration = calibrate_plates(inputs, protocol.assays, UNBLIND, work)
        gating = gate_specimens(inputs, protocol.panels, UNBLIND, work)
    outcomes = assemble_dataset(inputs, calibration, gating, protocol.design, UNBLIND)
    effects = estimate_effects(outcomes, calibration.shared_error, FINDINGS.empty(), protocol.analysis, UNBLIND, work)
    rules = protocol.panels.rules
    percents = true_percents(truth, tubes, events, seed, rules.positive_quantile if rules else 0.99)
    rows = gating.expressions.frame.join(true_values(truth, tubes), on=["specimen", "marker"]).join(percents, on=["specimen", "marker"])
    ratios = dict(true_effects(protocol).select("readout", "true_ratio").iter_rows()) if scenario == "effect" else {}
    noise = dict(gating.gating_variance.frame.group_by("marker").agg(pl.col("variance").mean()).iter_rows())
    found: list[Row] = []
    for effect in effects.effects.rows():
        marker = str(effect["readout"])
        numbers = [number(effect[name]) for name in ("donors", "estimate", "ci_low", "ci_high", "p")]
        means = compare(rows.filter(pl.col("marker") == marker))
        found.append((seed, scenario, marker, ratios.get(marker, 1.0), *numbers, noise.get(marker, 0.0), *(means[name] for name in MEANS)))
    return found


def true_values(truth: Truth, tubes: Tubes) -> pl.DataFrame:
    """Donor, drug and true delta of every specimen and marker."""
    known = tubes.of("cells").select("specimen", "donor", "drug", "row")
    net = pl.DataFrame(truth.net, schema=list(truth.readouts)).with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    return known.join(net, on="row").drop("row").unpivot(index=["specimen", "donor", "drug"], variable_name="marker", value_name="net")


def compare(rows: pl.DataFrame) -> dict[str, float]:
    """Means over donors of paired errors and changes of one marker, drug less vehicle."""
    limits = pl.col("delta_low").le(pl.col("net")) & pl.col("delta_high").ge(pl.col("net"))
    told = rows.filter(pl.col("status") == "measured").select(
        "donor",
        "drug",
        (pl.col("log_delta") - pl.col("net").log()).alias("error"),
        (pl.col("se_log") ** 2).alias("variance"),
        pl.col("median").log().alias("plain"),
        pl.col("ratio").log().alias("ratio"),
        pl.col("percent_positive").alias("percent"),
        (pl.col("percent_positive") - pl.col("true_percent")).alias("missed"),
        limits.alias("covered"),
    )
    drug, vehicle = (told.filter(pl.col("drug") == level) for level in ("ruxolitinib", "vehicle"))
    pairs = drug.join(vehicle, on="donor", suffix="_v")
    change = {name: pairs[name] - pairs[f"{name}_v"] for name in ("error", "plain", "ratio", "percent")}
    means = {name: number(series.mean()) for name, series in change.items()}
    return means | {
        "error_sd": number(change["error"].std()),
        "stated_var": number((pairs["variance"] + pairs["variance_v"]).mean()),
        "percent_error": number(told["missed"].mean()),
        "percent_miss": number(told["missed"].abs().mean()),
        "delta_covered": number(told["covered"].mean()),
    }


def number(value: object) -> float:
    """A mean of floats, which is a float."""
    return float(value) if isinstance(value, int | float) else math.nan


def summarise(results: pl.DataFrame, scenario: str) -> bool:
    """Print one scenario's table; whether every marker meets its criteria."""
    own, good = results.filter(pl.col("scenario") == scenario), True
    n = own["seed"].n_unique()
    print(f"\n{scenario}: {n} studies of {DONORS} donors")
    head = "marker  bias of ln ratio, % (MC SE) | coverage, % | p < 0.05, % | per cent positive: bias, mean |error|, false change"
    print(f"{head} | false ratio: delta, plain, ratio to control | spread of errors / stated | gate SD")
    for (marker,), part in own.group_by("marker", maintain_order=True):
        bias, error = 100 * number(part["error"].mean()), 100 * number(part["error"].std()) / math.sqrt(max(n, 1))
        hits = number(((part["ci_low"] <= part["true_ratio"]) & (part["true_ratio"] <= part["ci_high"])).mean())
        slack = 3 * math.sqrt(0.95 * 0.05 / max(n, 1))
        percent = number(part["percent_error"].mean())
        fine = abs(bias) - 3 * error < 100 * BIAS and COVER_LOW - slack <= hits <= COVER_HIGH + slack and abs(percent) < POINTS
        good &= fine
        spread = math.sqrt(number((part["error_sd"] ** 2).mean()) / number(part["stated_var"].mean()))
        false = [math.exp(number(part[name].mean())) for name in ("error", "plain", "ratio")]
        print(
            f"{marker!s:<7} {bias:+.2f} ({error:.2f}) | {100 * hits:.1f} | {100 * number((part['p'] < 0.05).mean()):.1f}"
            f" | {percent:+.2f}, {number(part['percent_miss'].mean()):.2f}, {number(part['percent'].mean()):+.1f}"
            f" | {false[0]:.3f}, {false[1]:.3f}, {false[2]:.3f} | {spread:.2f} | {math.sqrt(number(part['gate_var'].mean())):.4f}"
            f"{'' if fine else '  outside'}"
        )
    return good


def load(path: Path) -> pl.DataFrame:
    """Finished results; none where there is no file."""
    kinds = {"seed": pl.Int64, "scenario": pl.String, "marker": pl.String}
    schema = {name: kinds.get(name, pl.Float64) for name in COLUMNS}
    return pl.read_csv(path, schema=schema) if path.exists() else pl.DataFrame(schema=schema)


def store(path: Path, results: Sequence[Row]) -> None:
    """Add one study's results."""
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(COLUMNS)
        writer.writerows(results)


def main() -> int:
    """Run what is not there yet and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1-20", help="first-last")
    parser.add_argument("--results", type=Path, default=Path("gating_recovery.csv"), help="file of finished studies")
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS))
    asked = parser.parse_args()
    first, _, last = asked.seeds.partition("-")
    finished = set(load(asked.results).select("seed", "scenario").iter_rows())
    work, began = Work(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        protocol = flow_protocol(Path(name))
    for seed in range(int(first), int(last or first) + 1):
        for scenario in asked.scenarios:
            if (seed, scenario) not in finished:
                store(asked.results, run_seed(protocol, scenario, seed, work))
                print(f"seed {seed} {scenario}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    results = load(asked.results)
    verdicts = [summarise(results, scenario) for scenario in asked.scenarios]
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
