"""Simulated immunoassays for the benchmarks: scenarios with their truth, levels and seeds, and the plates drawn from them.

Everything here was written down before the first run. The base scenario is a rising curve (a 0.07, b 1.15, c 350, d 3.2),
seven two-fold standards from 1,000 to 15.6 and a zero in duplicate, variance of a reading (5 % of the mean)^2 + 0.008^2 and
one well per unknown. The others change one thing each. With five parameters c is moved so that the curve's midpoint stays at
350; the falling curve has its midpoint at 60, where a competitive assay puts it. ``judged`` are the levels that the criterion
counts: from the one below the lower limit of quantification upwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Array = npt.NDArray[np.float64]

PLATES_OF_A_STUDY = 20
LEVELS = (4.0, 8.0, 16.0, 31.0, 62.0, 125.0, 250.0, 500.0, 900.0)
SIGMA0, KAPPA = 0.008, 0.05
WIDTH_AT = 16.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One design. ``curve``: a, b, c, d; ``g``: asymmetry, y = d + (a - d) (1 + (x / c)^b)^-g; ``model``: what ours is to fit."""

    name: str
    seed: int
    told: str
    curve: tuple[float, float, float, float] = (0.07, 1.15, 350.0, 3.2)
    g: float = 1.0
    standards: int = 7
    zero: bool = True
    replicates: int = 1
    plate_effects: bool = False
    judged: tuple[float, ...] = LEVELS[1:]
    model: str = "4PL"

    @property
    def log_conc(self) -> Array:
        """Log concentrations of the standard wells, in duplicate."""
        levels = np.log(1000 * 0.5 ** np.arange(self.standards))
        return np.concatenate([levels, [-np.inf] * self.zero]).repeat(2)


SCENARIOS = (
    Scenario("base", 2026112501, "four parameters, seven standards and zero in duplicate, one well per unknown"),
    Scenario("5pl-0.5", 2026112502, "five parameters, g = 0.5; the peers fit four", curve=(0.07, 1.15, 134.6, 3.2), g=0.5, model="5PL"),
    Scenario("5pl-2", 2026112503, "five parameters, g = 2; the peers fit four", curve=(0.07, 1.15, 753.6, 3.2), g=2.0, model="5PL"),
    Scenario(
        "plates",
        2026112504,
        "each plate its own curve (SD: a 10 %, b 4 %, ln c 0.1, d 8 %) and scatter (SD of ln 0.25)",
        plate_effects=True,
    ),
    Scenario("six", 2026112505, "six standards, the lowest 31.25, and zero", standards=6),
    Scenario("duplicates", 2026112506, "two wells per unknown", replicates=2),
    Scenario("falling", 2026112507, "competitive assay, the signal falls", curve=(3.2, 1.15, 60.0, 0.07), judged=LEVELS[2:]),
    Scenario("no-zero", 2026112508, "no zero standard", zero=False),
)


@dataclass(frozen=True, slots=True)
class Truth:
    """Curves and scatter of plates: ``curve`` (plates, 4) with log c, ``g``, ``scale`` (plates,) of the scatter."""

    curve: Array
    g: float
    scale: Array

    def mean(self, log_conc: Array) -> Array:
        """Signals (plates, ...) at log concentrations, the same on all plates."""
        log_conc = np.asarray(log_conc)
        a, b, log_c, d = (part.reshape(-1, *[1] * log_conc.ndim) for part in self.curve.T)
        return d + (a - d) * expit(-b * (log_conc - log_c)) ** self.g

    def sd(self, mean: Array) -> Array:
        """Standard deviation of one reading, shape of ``mean``."""
        return np.sqrt(SIGMA0**2 + (KAPPA * mean) ** 2) * self.scale.reshape(-1, *[1] * (mean.ndim - 1))


@dataclass(frozen=True, slots=True)
class Study:
    """Twenty plates of one analyte. ``standards`` (plates, wells), ``unknowns`` (plates, levels, replicates): signals."""

    scenario: Scenario
    truth: Truth
    standards: Array
    unknowns: Array


def draw_study(scenario: Scenario, number: int) -> Study:
    """Study of a scenario; its random numbers depend on the scenario's seed and its own number only."""
    rng = np.random.default_rng([scenario.seed, number])
    truth = draw_truth(scenario, PLATES_OF_A_STUDY, rng)
    standards = read_wells(truth, scenario.log_conc, rng)
    unknowns = read_wells(truth, np.repeat(np.log(LEVELS)[:, None], scenario.replicates, axis=1), rng)
    return Study(scenario, truth, standards, unknowns)


def draw_truth(scenario: Scenario, plates: int, rng: np.random.Generator) -> Truth:
    """Curves and scatter of plates."""
    a, b, c, d = scenario.curve
    curve = np.tile([a, b, np.log(c), d], (plates, 1))
    scale = np.ones(plates)
    if scenario.plate_effects:
        curve[:, [0, 1, 3]] *= np.exp(rng.standard_normal((plates, 3)) * [0.10, 0.04, 0.08])
        curve[:, 2] += 0.1 * rng.standard_normal(plates)
        scale = np.exp(0.25 * rng.standard_normal(plates))
    return Truth(curve, scenario.g, scale)


def read_wells(truth: Truth, log_conc: Array, rng: np.random.Generator) -> Array:
    """Readings (plates, ...) at log concentrations, the same on all plates."""
    mean = truth.mean(log_conc)
    return mean + truth.sd(mean) * rng.standard_normal(mean.shape)


def precision(truth: Truth, scenario: Scenario, log_conc: Array) -> Array:
    """Coefficient of variation (plates, n) of a result, from the true curve and scatter with the curve's error as it is on average.

    The curve's error is the inverse Fisher information of the standards at the truth; g counts as estimated where it is not 1.
    """
    free = 5 if truth.g != 1 else 4
    design = _derivatives(truth, scenario.log_conc)[..., :free] / truth.sd(truth.mean(scenario.log_conc))[..., None]
    covariance = np.linalg.inv(np.einsum("pni,pnj->pij", design, design))
    leverage = _derivatives(truth, log_conc)[..., :free]
    shared = np.einsum("pni,pij,pnj->pn", leverage, covariance, leverage)
    mean, step = truth.mean(log_conc), 1e-5
    slope = (truth.mean(log_conc + step) - truth.mean(log_conc - step)) / (2 * step)
    return np.sqrt(truth.sd(mean) ** 2 / scenario.replicates + shared) / np.abs(slope)


def _derivatives(truth: Truth, log_conc: Array) -> Array:
    """Derivatives of the mean with respect to a, b, log c, d, g by central differences: (plates, n, 5)."""
    columns = []
    with np.errstate(invalid="ignore"):
        for i in range(5):
            step = 1e-5 * (np.arange(5) == i)
            up, down = (Truth(truth.curve + sign * step[:4], truth.g + sign * step[4], truth.scale).mean(log_conc) for sign in (1, -1))
            columns.append((up - down) / 2e-5)
    return np.nan_to_num(np.stack(columns, axis=-1))


def true_lloq(study: Study, low: float, high: float, max_cv: float = 0.20) -> Array:
    """Lowest log concentration (plates,) of the range around the most precise one where the CV stays within 20 %."""
    x = np.linspace(low, high, 2001)
    cv = precision(study.truth, study.scenario, x)
    return np.array([_cross(x, row, max_cv) for row in cv])


def _cross(x: Array, cv: Array, max_cv: float) -> float:
    best = int(np.argmin(cv))
    above = np.flatnonzero(cv[:best] > max_cv)
    if cv[best] > max_cv:
        return float("nan")
    if above.size == 0:
        return float(x[0])
    i = int(above[-1])
    return float(np.interp(0.0, [np.log(max_cv / cv[i]), np.log(max_cv / cv[i + 1])], x[i : i + 2]))


def chosen(names: list[str] | None) -> Iterator[Scenario]:
    """Scenarios by name, all without names."""
    return (scenario for scenario in SCENARIOS if not names or scenario.name in names)
