"""Power of the paired t test, exact and simulated; donors needed, ratio detectable, interactions, correlations."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from exvivo.numerics.power import (
    Rejects,
    detectable_effect,
    donors_for,
    power_of_correlation,
    power_of_difference,
    power_of_mean,
    sd_of_ratio,
    simulate_power,
)
from exvivo.qualify.cases import Case

Results = Mapping[str, Any]
_SEED = 5
_STUDIES = 500_000  # so that the difference from the reference's simulation is the reference's error, not ours


def _power(case: Case) -> Results:
    given = case.results
    sd, effect = float(given["sd_logratio"]), float(np.log(given["ratio"]))
    results: dict[str, Any] = {"sd_logratio": sd, "ratio": given["ratio"]}
    if "power_n" in given:
        results["power_n"] = [_at(row["n"], effect, sd) for row in given["power_n"]]
    if "n_for" in given:
        results["n_for"] = {name: donors_for(power, effect, sd, alpha=alpha) for name in given["n_for"] for power, alpha in [_target(name)]}
    for name in given:
        if asked := re.fullmatch(r"detectable_ratio_n(\d+)_p(\d+)", name):
            results[name] = float(np.exp(-detectable_effect(int(asked[1]), _fraction(asked[2]), sd)))
    if "interaction" in given:
        asked_for = given["interaction"]
        size = float(np.log(asked_for["ratio_of_ratios"]))
        results["interaction"] = {**asked_for, "power": power_of_difference(asked_for["n1"], asked_for["n2"], size, sd)}
    if "slope_r" in given:
        results["slope_r"] = {**given["slope_r"], "power_pwr": power_of_correlation(given["slope_r"]["n"], given["slope_r"]["r"])}
    return results


def _at(n: int, effect: float, sd: float) -> Results:
    either = power_of_mean(n, effect, sd)
    return {"n": n, "power": either, "power_nonstrict": power_of_mean(n, effect, sd, rejects=Rejects.RIGHT_SIDE), "pwr": either}


def _target(name: str) -> tuple[float, float]:
    """Power and alpha that a name such as ``p80_a05`` or ``p90_a005`` tells."""
    power, alpha = (part[1:] for part in name.split("_"))
    return _fraction(power), _fraction(alpha)


def _fraction(digits: str) -> float:
    """``80`` -> 0.80, ``005`` -> 0.005."""
    return float(f"0.{digits}")


def _simulated(case: Case) -> Results:
    given = case.results
    n, effect = int(given["n"]), float(np.log(given["ratio"]))
    sd = sd_of_ratio(given["sd_donor_effect"], given["sd_techrep"], given["reps"])
    alpha = float(given.get("typeI_nominal", 0.05))
    drawn = simulate_power(n, effect, sd, np.random.default_rng(_SEED), alpha=alpha, studies=_STUDIES)
    exact = power_of_mean(n, effect, sd, alpha=alpha, rejects=Rejects.EITHER)
    return {"n": n, "power_sim": drawn.power, "mc_se": drawn.error, "power_exact": exact, "typeI_nominal": alpha}


PROCEDURES: Mapping[str, Callable[[Case], Results]] = MappingProxyType({"c23": _power, "c29": _simulated})
