"""What curves add to an effect: weights of plates, the draws of curves, what an interval is made of."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from exvivo.estimate.carried import Curves, share_of_curves
from exvivo.estimate.contrasts import Rules
from exvivo.estimate.effect import Effect
from exvivo.estimate.imputed import DRAWS, draw_pairs, impute_calibration
from exvivo.estimate.pairs import Pairs, Reading
from exvivo.estimate.shares import KnownErrors, share_variance
from exvivo.numerics.inference import infer_t
from exvivo.study.model import Analysis
from exvivo.study.run import LOADINGS
from exvivo.study.statuses import Method
from exvivo.study.tables import SHARED_ERROR

SHARES = ("calibration_share", "gating_share", "reading_share", "donor_share")
RULES = Rules(Analysis(seed=1), "P1/CCL18")


def reading(donor: str, value: float, plates: Sequence[str], *specimens: str, error: float = 0.0) -> Reading:
    return Reading(donor, "", value, value, below=False, measurements=2, specimens=specimens, plates=tuple(plates), error=error)


def paired(logs: Sequence[tuple[float, float]], plates: Sequence[str], error: float = 0.0) -> Pairs:
    """Pairs of comparator and drug, both of a donor on one plate."""
    arms = [
        tuple(
            reading(f"D{i}", pair[arm], [plate], f"D{i}-{arm}", error=error)
            for i, (pair, plate) in enumerate(zip(logs, plates, strict=True))
        )
        for arm in (1, 0)
    ]
    return Pairs(arms[0], arms[1])


def curves_of(pairs: Pairs, loading: Callable[[Reading, int], Sequence[float]]) -> pl.DataFrame:
    """Rows of SHARED_ERROR: the loading of a reading in arm 1 (drug) or 0."""
    rows = [
        {"plate": r.plates[0], "analyte": "CCL18", "specimen": r.specimens[0], "log_value": r.low if math.isfinite(r.low) else r.high,
         **dict(zip(LOADINGS, [*loading(r, arm), *[0.0] * 6][:6], strict=True)), "se_log": 0.05}
        for arm, side in ((1, pairs.drug), (0, pairs.comparator)) for r in side
    ]  # fmt: skip
    return SHARED_ERROR.from_rows(rows).frame


def paired_t(pairs: Pairs) -> Effect:
    d = pairs.differences[:, 0]
    return Effect("P1", "CCL18", "drug").estimated(
        infer_t(float(d.mean()), float(d.std(ddof=1) / math.sqrt(d.size)), d.size - 1), Method.PAIRED_T
    )


@given(arrays(np.float64, (7, 4), elements=st.floats(-2, 2)))
def test_shares_of_curves_are_the_formula_of_the_mean(loadings: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    K, n = loadings @ loadings.T, 7
    shown = (np.trace(K) - K.sum() / n) / (n * (n - 1))
    found = share_of_curves(loadings)
    assert found.variance == pytest.approx(K.sum() / n**2, abs=1e-12)
    assert found.unseen == pytest.approx(max(K.sum() / n**2 - shown, 0), abs=1e-12)


def test_plates_of_a_specimen_weigh_by_precision_and_specimens_alike() -> None:
    rows = [{"plate": plate, "analyte": "X", "specimen": name, "log_value": 1.0, **dict.fromkeys(LOADINGS, 0.1), "se_log": se}
            for plate, name, se in (("a", "S1", 0.1), ("b", "S1", 0.2), ("a", "S2", 0.3))]  # fmt: skip
    curves = Curves.of(SHARED_ERROR.from_rows(rows).frame)
    weights = curves.weigh(reading("D", 1.0, ["a", "b"], "S1", "S2"))
    assert weights == pytest.approx({("a", "S1"): 0.4, ("b", "S1"): 0.1, ("a", "S2"): 0.5})
    bare = Curves.of(SHARED_ERROR.from_rows([row | {"se_log": None} for row in rows]).frame)
    assert bare.weigh(reading("D", 1.0, ["a", "b"], "S1")) == pytest.approx({("a", "S1"): 0.5, ("b", "S1"): 0.5})
    assert curves.weigh(reading("D", 1.0, ["c"], "S1")) == {}


@settings(deadline=None, max_examples=30)
@given(
    st.integers(4, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 2), min_size=n, max_size=n))),
    st.floats(0.01, 0.3),
    st.integers(0, 1000),
)
def test_draws_of_curves_give_the_closed_form(laid: tuple[int, list[int]], size: float, seed: int) -> None:
    """By another way than the formula: the paired t of every draw, reduced by what the draws raise its variance."""
    n, plates = laid
    rng = np.random.default_rng(seed)
    pairs = paired([(x, x - 0.5 + 0.3 * float(rng.standard_normal())) for x in rng.normal(6, 1, n)], [f"P:{k}" for k in plates])
    table = curves_of(pairs, lambda r, _: (size, size * (r.low - 6)))
    effect = paired_t(pairs)
    found = impute_calibration(effect, pairs, table, RULES)
    assert found is not None
    shared = share_of_curves(Curves.of(table).loadings(pairs))
    d = pairs.differences[:, 0]
    missing = (1 + 1 / DRAWS) * shared.unseen
    facts = json.loads(found.detail or "")
    assert facts["draws"] == DRAWS
    assert facts["drawn_share"] == pytest.approx(missing / (d.var(ddof=1) / n + missing), rel=1e-6, abs=1e-12)
    assert found.estimate == pytest.approx(effect.estimate)
    assert (found.method, found.role) == ("imputed-curves", "sensitivity")


def test_every_draw_moves_the_specimens_of_a_plate_together_and_bounds_with_them() -> None:
    pairs = paired([(6.0, 5.0), (7.0, 6.5), (6.5, 5.5)], ["P:1", "P:1", "P:2"])
    low = Reading("D3", "", -math.inf, 4.0, below=True, measurements=2, specimens=("D3-1",), plates=("P:1",))
    pairs = Pairs((*pairs.drug, low), (*pairs.comparator, reading("D3", 6.0, ["P:1"], "D3-0")))
    moved = draw_pairs(pairs, curves_of(pairs, lambda *_: (0.2,)), RULES)
    moves = moved.drug[:, :, 1] - np.array([r.high for r in pairs.drug])
    np.testing.assert_allclose(moves[:, 0], moves[:, 3])
    assert np.all(np.isneginf(moved.drug[:, 3, 0]))
    assert abs(float(np.corrcoef(moves[:, 0], moves[:, 2])[0, 1])) < 1e-9
    assert moves[:, 0].std(ddof=1) == pytest.approx(0.2)
    np.testing.assert_array_equal(moved.drug, draw_pairs(pairs, curves_of(pairs, lambda *_: (0.2,)), RULES).drug)


def test_draws_that_cannot_be_analysed_end_in_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    low = Reading("D9", "", -math.inf, 4.0, below=True, measurements=2, specimens=("D9-1",), plates=("P:1",))
    pairs = paired([(6.0, 5.0), (7.0, 6.5), (6.5, 5.5), (6.2, 5.9)], ["P:1"] * 4)
    table = curves_of(pairs, lambda *_: (0.2,))
    effect = paired_t(pairs)
    few = Pairs((*pairs.drug[:2], low), (*pairs.comparator[:2], reading("D9", 6.0, ["P:1"], "D9-0")))
    row = impute_calibration(effect, few, curves_of(few, lambda _, arm: (0.2 * arm,)), RULES)
    assert row is not None
    assert (row.status, row.reason, row.method, row.estimate) == ("not_estimable", "not-converged", "imputed-curves", None)

    def fail(*_: object) -> None:
        raise np.linalg.LinAlgError

    monkeypatch.setattr("exvivo.estimate.imputed.draw_pairs", fail)
    row = impute_calibration(effect, pairs, curves_of(pairs, lambda _, arm: (0.2 * arm,)), RULES)
    assert row is not None
    assert row.reason == "not-converged"
    assert impute_calibration(effect, paired([(6.0, 5.0), (7.0, 6.5)], ["Q:1"] * 2), table, RULES) is None


def test_censored_pairs_are_drawn_too(kit: Any, primary: Callable[..., Any]) -> None:  # noqa: ANN401  the functions of conftest
    """A curve's error that all pairs have alike moves the censored estimate as it moves the mean."""
    rng = np.random.default_rng(4)
    rows = kit.paired({f"D{i}": (6 + float(rng.normal()), 5.3 + float(rng.normal())) for i in range(12)}, plates="P:1")
    rows[3] = kit.below("D1", "ruxolitinib", 4.2, plates="P:1")
    for row in rows:
        row["specimens"] = f"{row['donor']}-{row['drug']}"
    told = [
        {"plate": "P:1", "analyte": "CCL18", "specimen": row["specimens"], "log_value": row["log_value"] or row["upper_bound"],
         **dict.fromkeys(LOADINGS, 0.0), "l1": 0.15 if row["drug"] == "vehicle" else 0.0} for row in rows
    ]  # fmt: skip
    registered, beside = primary(rows, shared_error=kit.shared(told))
    assert registered["method"] == "censored-bivariate-normal"
    imputed = beside.filter(beside["method"] == "imputed-curves").row(0, named=True)
    assert imputed["estimate"] == pytest.approx(registered["estimate"], rel=0.01)
    wide, closed = (math.log(row["ci_high"] / row["ci_low"]) for row in (imputed, registered))
    assert closed < wide < 1.4 * closed


def test_a_modifier_does_not_feel_what_all_donors_share(kit: Any, plan: Any) -> None:  # noqa: ANN401
    def slope(error: Mapping[str, float]) -> tuple[dict[str, Any], pl.DataFrame]:
        rows = [
            row | {"plates": "P:1", "specimens": f"{row['donor']}-{row['drug']}"} for row in kit.patients(16) if row["readout"] == "CCL18"
        ]
        exposed = {row["donor"] for row in rows if row["ild_ct"] == "yes"}
        for row in rows:
            row["plates"] = "P:1" if error["plates"] == 1 or row["donor"] in exposed else "P:2"
        told = [
            {"plate": row["plates"], "analyte": "CCL18", "specimen": row["specimens"], "log_value": row["log_value"],
             **dict.fromkeys(LOADINGS, 0.0), "l1": error["size"] * (row["drug"] == "vehicle")} for row in rows
        ]  # fmt: skip
        effects = kit.estimate(rows, kit.only(plan, "S4"), shared_error=kit.shared(told))
        frame = effects.effects.frame
        beside = effects.supplementary.frame.filter(
            pl.col("modifier") == "ild_ct",
            pl.col("method") == "linear-log-ratio",
            pl.col("detail").str.contains("ignores") | (pl.col("role") == "level"),
        )
        return frame.row(by_predicate=pl.col("modifier") == "ild_ct", named=True), beside

    (bare, levels), (same, wider) = slope({"size": 0.0, "plates": 1}), slope({"size": 0.3, "plates": 1})
    apart, kept = slope({"size": 0.3, "plates": 2})
    assert same["ci_high"] == pytest.approx(bare["ci_high"], rel=1e-9)
    assert wider["role"].to_list() == levels["role"].to_list() == ["level", "level"]
    assert (wider["ci_high"] > 1.2 * levels["ci_high"]).all()
    assert apart["ci_high"] > 1.2 * bare["ci_high"]
    assert apart["p"] > bare["p"]
    assert kept.filter(kept["role"] == "sensitivity")["ci_high"].to_list() == pytest.approx([bare["ci_high"]])
    assert json.loads(apart["detail"])["calibration_share"] > 0.5


def test_a_level_alone_carries_the_curves_of_its_own_donors(kit: Any, plan: Any) -> None:  # noqa: ANN401
    """The other level has too few donors and is no part of the model: its plate has no say."""
    rows = [row | {"pah_echo": "yes" if row["donor"] < "SSc003" else "no"} for row in kit.patients(12) if row["readout"] == "CCL18"]
    for row in rows:
        row |= {"plates": "P:1" if row["donor"] < "SSc007" else "P:2", "specimens": f"{row['donor']}-{row['drug']}"}
    moved = {row["specimens"]: 0.2 * (row["drug"] == "vehicle") for row in rows}
    told = [
        {"plate": row["plates"], "analyte": "CCL18", "specimen": row["specimens"], "log_value": row["log_value"],
         **dict.fromkeys(LOADINGS, 0.0), "l1": moved[row["specimens"]]} for row in rows
    ]  # fmt: skip
    beside = kit.estimate(rows, kit.only(plan, "S4"), shared_error=kit.shared(told)).supplementary.frame
    level = beside.row(by_predicate=(pl.col("modifier") == "pah_echo") & (pl.col("level") == "no"), named=True)
    logs = {(row["donor"], row["drug"]): row["log_value"] for row in rows}
    own = sorted({row["donor"] for row in rows if row["pah_echo"] == "no"})
    d = np.array([logs[donor, "ruxolitinib"] - logs[donor, "vehicle"] for donor in own])
    L = np.array([[-0.2 * (donor < "SSc007"), -0.2 * (donor >= "SSc007")] for donor in own])
    K, n = L @ L.T, len(own)
    unseen = K.sum() / n**2 - (np.trace(K) - K.sum() / n) / (n * (n - 1))
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(d.var(ddof=1) / n + unseen)
    assert np.log([level["ci_low"], level["ci_high"]]) == pytest.approx([d.mean() - half, d.mean() + half])


def test_shares_are_the_components_that_made_the_data() -> None:
    """Mean over 400 studies of 24 pairs on two plates, whose curves, gates, readings and donors are known."""
    rng, n, size = np.random.default_rng(5), 24, 0.1
    parts = {"curves": 0.0, "gates": 0.02, "readings": 0.03, "donors": 0.05}
    plates = [f"P:{i % 2}" for i in range(n)]
    shares = []
    for _ in range(400):
        moved = size * np.array([float(rng.normal()), float(rng.normal())])[np.arange(n) % 2]
        noise = sum(rng.normal(0, math.sqrt(2 * parts[name]), n) for name in ("gates", "readings")) + rng.normal(
            0, math.sqrt(parts["donors"]), n
        )
        pairs = paired([(6.0, float(d)) for d in 5.5 + moved + noise], plates, error=parts["readings"])
        table = curves_of(pairs, lambda _, arm: (size * arm,))
        shared = share_of_curves(Curves.of(table).loadings(pairs))
        within = float(pairs.differences[:, 0].var(ddof=1)) / n
        known = KnownErrors(shared.variance, {f"D{i}": parts["gates"] for i in range(n)})
        shares.append(share_variance(within + shared.unseen, pairs, known))
    truth = np.array([size**2 / 2, 2 * parts["gates"] / n, 2 * parts["readings"] / n, parts["donors"] / n])
    got = np.array([[one[name] for name in SHARES] for one in shares])
    np.testing.assert_allclose(got.sum(axis=1), 1.0)
    np.testing.assert_allclose(got.mean(axis=0), truth / truth.sum(), atol=0.03)


def test_known_errors_beyond_the_variance_leave_nothing_to_donors() -> None:
    pairs = paired([(6.0, 5.0), (6.0, 5.1)], ["P:1", "P:1"], error=4.0)
    shares = share_variance(0.1, pairs, KnownErrors(0.1))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["donor_share"] == 0
    assert shares["reading_share"] == pytest.approx(4 / 4.1)


def test_gate_errors_of_single_donors_are_in_the_scatter_already() -> None:
    """Simulated truth: drawn per donor, the reduced rule adds nothing to the paired interval, and the paired interval covers."""
    rng, n, gates, hits, added = np.random.default_rng(6), 10, 0.04, 0, []
    for _ in range(400):
        d = rng.normal(-0.5, 0.2, n) + rng.normal(0, math.sqrt(gates), n)
        within = float(d.var(ddof=1)) / n
        low = infer_t(float(d.mean()), math.sqrt(within), n - 1)
        hits += low.low <= -0.5 <= low.high
        drawn = d + rng.normal(0, math.sqrt(gates), (200, n))
        raised = float(drawn.var(axis=1, ddof=1).mean()) / n - within
        added.append((drawn.mean(axis=1).var(ddof=1) - raised) / within)
    assert abs(hits / 400 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400)
    assert abs(float(np.mean(added))) < 0.02


def test_replicate_cultures_tell_their_spread(kit: Any, primary: Callable[..., Any]) -> None:  # noqa: ANN401
    rows = kit.paired({f"D{i}": (6.0, 5.5 - 0.1 * i) for i in range(6)}, se=0.01)
    spread = [row | {"detail": json.dumps({"cultures": 2, "culture_variance": 0.005})} for row in rows]
    (plain, _), (told, _) = primary(rows), primary(spread)
    plain_share, told_share = (json.loads(row["detail"])["reading_share"] for row in (plain, told))
    assert told_share == pytest.approx(plain_share * 0.0025 / 0.0001)
    assert (told["ci_low"], told["p"]) == (plain["ci_low"], plain["p"])
