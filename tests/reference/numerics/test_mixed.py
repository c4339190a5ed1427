"""REML, Satterthwaite and Kenward-Roger against lme4 1.1-31, lmerTest 3.1-3, pbkrtest 0.5.2, emmeans 1.8.4-1."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.numerics.inference import Estimate
from exvivo.numerics.mixed import DegreesOfFreedom, MixedFit, fit_mixed, indicate
from exvivo.numerics.paired import fit_mean

Array = NDArray[np.float64]
Open = Callable[[str], Any]
METHODS = {"satterthwaite": DegreesOfFreedom.SATTERTHWAITE, "kenward_roger": DegreesOfFreedom.KENWARD_ROGER}


@dataclass(frozen=True)
class Model:
    """Fixed columns by R's coefficient name, random components by R's group name, marginal tests by term."""

    fixed: Mapping[str, Array]
    random: Mapping[str, Array]
    tests: Mapping[str, Sequence[Sequence[float]]]

    def fit(self, y: Array) -> MixedFit:
        return fit_mixed(y, np.column_stack(list(self.fixed.values())), list(self.random.values()))


def is_level(column: Sequence[str], level: str) -> Array:
    return np.array([value == level for value in column], dtype=np.float64)


def drug_by(columns: Mapping[str, list[Any]], **more: Array) -> dict[str, Array]:
    """Intercept and drug, with further main effects and their products with drug."""
    drug = is_level(columns["cond"], "ruxolitinib")
    return {
        "(Intercept)": np.ones_like(drug),
        "condruxolitinib": drug,
        **more,
        **{f"condruxolitinib:{name}": drug * column for name, column in more.items()},
    }


def by_donor(columns: Mapping[str, list[Any]]) -> dict[str, Array]:
    return {"donor.(Intercept)": indicate(columns["donor"])}


def nested(columns: Mapping[str, list[Any]]) -> dict[str, Array]:
    pair = [f"{donor}:{cond}" for donor, cond in zip(columns["donor"], columns["cond"], strict=True)]
    return {"donor:cond.(Intercept)": indicate(pair), **by_donor(columns)}


def simple(columns: Mapping[str, list[Any]]) -> Model:
    return Model(drug_by(columns), by_donor(columns), {"cond": [[0, 1]]})


def subgroup(columns: Mapping[str, list[Any]]) -> Model:
    fixed = drug_by(columns, ildyes=is_level(columns["ild"], "yes"))
    return Model(fixed, by_donor(columns), {"cond": [[0, 1, 0, 0.5]], "ild": [[0, 0, 1, 0.5]], "cond:ild": [[0, 0, 0, 1]]})


def antibodies(columns: Mapping[str, list[Any]]) -> Model:
    levels = ["ACA", "ATA", "RNAP3"]
    fixed = drug_by(columns, **{f"autoab{level}": is_level(columns["autoab"], level) for level in levels})
    eye, nothing = np.eye(3), np.zeros((3, 2))
    tests = {
        "cond": [[0, 1, 0, 0, 0, 0.25, 0.25, 0.25]],
        "autoab": np.hstack([nothing, eye, 0.5 * eye]).tolist(),
        "cond:autoab": np.hstack([nothing, 0 * eye, eye]).tolist(),
    }
    return Model(fixed, by_donor(columns), tests)


def score(columns: Mapping[str, list[Any]]) -> Model:
    mrss = np.array(columns["mrss"], dtype=np.float64)
    return Model(
        drug_by(columns, m10=(mrss - mrss.mean()) / 10),
        by_donor(columns),
        {"cond": [[0, 1, 0, 0]], "m10": [[0, 0, 1, 0.5]], "cond:m10": [[0, 0, 0, 1]]},
    )


def random_plate(columns: Mapping[str, list[Any]]) -> Model:
    random = {**by_donor(columns), "plate.(Intercept)": indicate(columns["plate"])}
    return Model(drug_by(columns), random, {"cond": [[0, 1]]})


def fixed_plate(columns: Mapping[str, list[Any]]) -> Model:
    plates = {f"plate{p}": is_level(columns["plate"], p) for p in ("P2", "P3", "P4")}
    fixed = {**drug_by(columns), **plates}
    return Model(fixed, nested(columns), {"cond": [[0, 1, 0, 0, 0]], "plate": np.eye(5)[2:].tolist()})


def serum(columns: Mapping[str, list[Any]]) -> Model:
    drug, exposed = is_level(columns["drug"], "ruxolitinib"), is_level(columns["exposed"], "SSc")
    fixed = {
        "(Intercept)": np.ones_like(drug),
        "drugruxolitinib": drug,
        "exposedSSc": exposed,
        "drugruxolitinib:exposedSSc": drug * exposed,
    }
    random = {**by_donor(columns), "ser.sscser": indicate(columns["serum"], where=exposed)}
    return Model(fixed, random, {"drug": [[0, 1, 0, 0.5]], "exposed": [[0, 0, 1, 0.5]], "drug:exposed": [[0, 0, 0, 1]]})


def donor_only(columns: Mapping[str, list[Any]]) -> Model:
    full = serum(columns)
    return Model(full.fixed, by_donor(columns), full.tests)


CASES: list[tuple[str, str, Callable[[Mapping[str, list[Any]]], Model]]] = [
    ("c04", "", simple),
    ("c05", "", simple),
    ("c06", "", lambda c: Model(drug_by(c), nested(c), {"cond": [[0, 1]]})),
    ("c07", "random_plate/", random_plate),
    ("c07", "fixed_plate/", fixed_plate),
    ("c08", "", subgroup),
    ("c09", "", antibodies),
    ("c10", "", score),
    ("c11", "donor_serum/", serum),
    ("c11", "donor_only/", donor_only),
    ("c28", "", simple),
]


@pytest.mark.parametrize(("name", "prefix", "model"), CASES, ids=[a + b for a, b, _ in CASES])
def test_equals_lmer(reference: Open, name: str, prefix: str, model: Callable[[Mapping[str, list[Any]]], Model]) -> None:
    case = reference(name)
    built = model(case.columns)
    fit = built.fit(np.log(case.numbers("y")))
    case.check(f"{prefix}reml_criterion", fit.criterion)
    for group, variance in zip([*built.random, "Residual"], fit.variances, strict=True):
        case.check(f"{prefix}varcomp/{group}", float(variance))
    for label, method in METHODS.items():
        check_coefficients(case, f"{prefix}{label}", built, fit, method)
        for term, weights in built.tests.items():
            test = fit.joint(weights, method=method)
            case.check(f"{prefix}anova3_{label}/{term}/F", test.F)
            case.check(f"{prefix}anova3_{label}/{term}/ddf", test.df_denominator)
            case.check(f"{prefix}anova3_{label}/{term}/p", test.p)


def check_coefficients(case: Any, path: str, model: Model, fit: MixedFit, method: DegreesOfFreedom) -> None:  # noqa: ANN401  a test's own case object
    for row, name in zip(np.eye(len(model.fixed)), model.fixed, strict=True):
        got = fit.contrast(row, method=method)
        for key, value in {"estimate": got.estimate, "se": got.se, "df": got.df, "p": got.p, "lo95": got.low, "hi95": got.high}.items():
            case.check(f"{path}/{name}/{key}", value)


def check_emmeans(case: Any, path: str, got: Estimate) -> None:  # noqa: ANN401  a test's own case object
    pairs = {"estimate": got.estimate, "SE": got.se, "df": got.df, "lower.CL": got.low, "upper.CL": got.high, "p.value": got.p}
    for key, value in pairs.items():
        case.check(f"{path}/{key}", value)


def test_serum_contrasts_of_emmeans(reference: Open) -> None:
    case = reference("c11")
    fit = serum(case.columns).fit(np.log(case.numbers("y")))
    root = "donor_serum/contrasts_kr"
    for path, weights in {
        "drug_given_exposed/0": [0, 1, 0, 0],
        "drug_given_exposed/1": [0, 1, 0, 1],
        "serum_given_drug/0": [0, 0, 1, 0],
        "serum_given_drug/1": [0, 0, 1, 1],
        "interaction/0": [0, 0, 0, 1],
    }.items():
        check_emmeans(case, f"{root}/{path}", fit.contrast(weights))


def test_subgroup_effects_of_emmeans(reference: Open) -> None:
    case = reference("c08")
    fit = subgroup(case.columns).fit(np.log(case.numbers("y")))
    check_emmeans(case, "drug_effect_by_ild_kr/0", fit.contrast([0, 1, 0, 0]))
    check_emmeans(case, "drug_effect_by_ild_kr/1", fit.contrast([0, 1, 0, 1]))
    check_emmeans(case, "ratio_of_ratios_kr/0", fit.contrast([0, 0, 0, 1]))


def test_paired_t_where_the_donor_variance_is_zero(reference: Open) -> None:
    case = reference("c28")
    logs = np.log(case.numbers("y"))
    drug = is_level(case.columns["cond"], "ruxolitinib") == 1
    assert [d for d, x in zip(case.columns["donor"], drug, strict=True) if x] == [
        d for d, x in zip(case.columns["donor"], drug, strict=True) if not x
    ]
    paired = fit_mean(logs[drug] - logs[~drug])
    case.check("paired_t/estimate", paired.estimate)
    case.check("paired_t/p", paired.p)
    case.check("paired_t/lo95", paired.low)
    assert simple(case.columns).fit(logs).at_zero.tolist() == [True]


def test_sleep(external: Open) -> None:
    case = external("k01")
    second = is_level(case.columns["group"], "g2")
    model = Model(
        {"(Intercept)": np.ones_like(second), "groupg2": second}, {"ID.(Intercept)": indicate(case.columns["ID"])}, {"group": [[0, 1]]}
    )
    fit = model.fit(case.numbers("extra"))
    case.check("reml_criterion", fit.criterion)
    for label, method in METHODS.items():
        check_coefficients(case, label, model, fit, method)


def test_penicillin_crossed(external: Open) -> None:
    case = external("k04")
    y = case.numbers("diameter")
    random = {"plate.(Intercept)": indicate(case.columns["plate"]), "sample.(Intercept)": indicate(case.columns["sample"])}
    model = Model({"(Intercept)": np.ones_like(y)}, random, {})
    fit = model.fit(y)
    case.check("reml_criterion", fit.criterion)
    for group, variance in zip([*random, "Residual"], fit.variances, strict=True):
        case.check(f"varcomp/{group}", float(variance))
    for label, method in METHODS.items():
        check_coefficients(case, label, model, fit, method)
