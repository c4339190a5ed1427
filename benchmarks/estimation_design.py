"""Simulated paired studies and the registered analysis of thousands of them at once, for the estimation benchmarks.

Everything here was written down before the first run. ln value = 5 + donor (SD 0.6) + plate (SD 0.2) + culture (SD 0.3), the drug's
ratio on top; both cultures of a donor are on one plate, donors are dealt to plates in turn. *Missing*: each donor loses one of its two
cultures with probability 0.2. *Censored*: the limit of each plate is the quantile of the drug arm that leaves the stated share below it,
moved by a plate's own error (SD 0.15); it holds in both arms. *Curve*: the readings of a plate also move with the error of its standard
curve, by the loadings that the fitted curve of one assay (`ratio_coverage.py`) has at their concentrations. *Quiet*: cultures of SD
0.07, so that this error weighs.

`analyse` is the rule of `estimate/contrasts.py` and `estimate/carried.py`; tests/unit/estimate/test_calibration_command.py shows that it
gives what `estimate_pairs` and `carry_calibration` give, study by study. Coverage needs no limits: an interval holds the truth where
the test of the truth is not rejected, so the drug's bounds are moved by the true ln ratio and tested against zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import ratio_coverage as assay
from numpy.typing import NDArray
from scipy import special, stats

from exvivo.numerics.batched import fit_incomplete_pairs, fit_means
from exvivo.numerics.censored import fit_censored_batch
from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import DegreesOfFreedom
from exvivo.numerics.ranks import compare_signed_rank
from exvivo.study.model import CensoringRules

SEED = 20261126
CENTRE, DONOR_SD, PLATE_SD, CULTURE_SD, QUIET_SD, LIMIT_SD, LOST = 5.0, 0.6, 0.2, 0.3, 0.07, 0.15, 0.2
RULES, MIN_PAIRS = CensoringRules(), 3
MOST_ENUMERATED, DRAWN_FLIPS = 20, 999


@dataclass(frozen=True, slots=True)
class Cell:
    """One design of a study; `index` is its seed."""

    index: int
    donors: int
    plates: int
    missing: bool = False
    censored: float = 0.0
    curve: bool = False
    quiet: bool = False

    @property
    def culture_sd(self) -> float:
        """SD of a culture."""
        return QUIET_SD if self.quiet else CULTURE_SD

    def __str__(self) -> str:
        """What is special about it."""
        said = {
            "missing" if self.missing else "complete": True,
            f"{100 * self.censored:.0f} % censored": self.censored > 0,
            "quiet": self.quiet,
        }
        return ", ".join(word for word, holds in said.items() if holds)


@dataclass(frozen=True, slots=True)
class Studies:
    """Bounds of ln values (s, n, 2), NaN where lost; plate of each donor (n,); loadings (s, n, k) of both arms on its plate's errors."""

    drug: Array
    comparator: Array
    plate: NDArray[np.intp]
    loading_drug: Array
    loading_comparator: Array

    def moved(self, log_ratio: float) -> "Studies":
        """The same studies with the drug's values moved."""
        return Studies(self.drug - log_ratio, self.comparator, self.plate, self.loading_drug, self.loading_comparator)


@dataclass(frozen=True, slots=True)
class Analysed:
    """P-value of each study (NaN: none), and whether it has an estimate."""

    p: Array
    estimated: NDArray[np.bool_]

    def rejected(self, alpha: float = 0.05) -> NDArray[np.bool_]:
        """Studies that reject."""
        return np.asarray(self.p < alpha, dtype=np.bool_)


@cache
def _curve_loadings() -> tuple[Array, Array]:
    """Loadings (g, k) of readings on the error of a fitted curve over a grid of ln concentrations (g,)."""
    curve = assay.fit_study(np.random.default_rng([SEED, 0]))[0]
    grid = np.linspace(np.log(8.0), np.log(2000.0), 200)
    found = assay.invert([curve], np.zeros(grid.size, dtype=np.intp), assay.value(grid, np.array(curve.parameters))[:, None])
    return grid, np.asarray(found.gradient @ curve.loading, dtype=np.float64)


def load(log_conc: Array) -> Array:
    """Loadings (..., k) at ln concentrations."""
    grid, loadings = _curve_loadings()
    return np.stack([np.interp(log_conc, grid, column) for column in loadings.T], axis=-1)


def draw(cell: Cell, log_ratio: float, runs: int, rng: np.random.Generator) -> Studies:
    """Studies of one cell."""
    shape = (runs, cell.donors)
    plate = np.arange(cell.donors) % cell.plates
    donor = CENTRE + DONOR_SD * rng.standard_normal(shape) + PLATE_SD * rng.standard_normal((runs, cell.plates))[:, plate]
    drug, comparator = (donor + shift + cell.culture_sd * rng.standard_normal(shape) for shift in (log_ratio, 0.0))
    loadings = (np.zeros((*shape, 0)), np.zeros((*shape, 0)))
    if cell.curve:
        error = rng.standard_normal((runs, cell.plates, load(drug[:1]).shape[-1]))[:, plate]
        drug, comparator = (arm + np.sum(load(arm) * error, axis=-1) for arm in (drug, comparator))
        loadings = (load(drug), load(comparator))
    arms = [np.stack([arm, arm], axis=-1) for arm in (drug, comparator)]
    if cell.censored:
        spread = np.sqrt(DONOR_SD**2 + CULTURE_SD**2 + PLATE_SD**2 + LIMIT_SD**2)
        limit = CENTRE + log_ratio + spread * special.ndtri(cell.censored) + LIMIT_SD * rng.standard_normal((runs, cell.plates))[:, plate]
        for arm in arms:
            below = arm[..., 0] < limit
            arm[below] = np.stack([np.full(below.sum(), -np.inf), limit[below]], axis=-1)
    if cell.missing:
        lost, which = rng.random(shape) < LOST, rng.integers(0, 2, shape)
        for k, arm in enumerate(arms):
            arm[lost & (which == k)] = np.nan
    return Studies(arms[0], arms[1], plate, *loadings)


def analyse(studies: Studies) -> Analysed:
    """P-value of "no effect" by the registered rule, and whether the study has an estimate."""
    p, estimated = np.full(len(studies.drug), np.nan), np.zeros(len(studies.drug), dtype=np.bool_)
    for rows, drug, comparator in _by_pairs(studies):
        if drug.shape[1] < MIN_PAIRS:
            continue
        known_drug, known_comparator = drug[..., 0] == drug[..., 1], comparator[..., 0] == comparator[..., 1]
        known = known_drug & known_comparator
        share = np.maximum((~known_drug).mean(axis=1), (~known_comparator).mean(axis=1))
        exact = known.all(axis=1)
        model = ~exact & (share <= RULES.max_fraction) & (known.sum(axis=1) >= RULES.min_observed_pairs)
        rest = ~(exact | model)
        if exact.any():
            p[rows[exact]] = _compare_exact(studies, rows[exact], drug[exact], comparator[exact])
        if model.any():
            p[rows[model]] = fit_censored_batch(drug[model], comparator[model]).p
        p[rows[rest]] = _compare_signs(drug[rest, :, 0] - comparator[rest, :, 1], drug[rest, :, 1] - comparator[rest, :, 0])
        estimated[rows] = exact | (model & ~np.isnan(p[rows]))
    return Analysed(p, estimated)


def _by_pairs(studies: Studies) -> list[tuple[NDArray[np.intp], Array, Array]]:
    """Studies with the same number of complete pairs: their rows, and the bounds (r, pairs, 2) of those pairs."""
    complete = ~np.isnan(studies.drug[..., 0] + studies.comparator[..., 0])
    count = complete.sum(axis=1)
    order = np.argsort(~complete, axis=1, kind="stable")[..., None]
    drug, comparator = (np.take_along_axis(arm, order, axis=1) for arm in (studies.drug, studies.comparator))
    groups = ((np.flatnonzero(count == pairs), int(pairs)) for pairs in np.unique(count))
    return [(rows, drug[rows, :pairs], comparator[rows, :pairs]) for rows, pairs in groups]


def _compare_exact(studies: Studies, rows: NDArray[np.intp], drug: Array, comparator: Array) -> Array:
    """Paired t test of measured pairs; where curves are shared, with what they add to the error of the mean."""
    fit = fit_means(drug[..., 0] - comparator[..., 0])
    if not studies.loading_drug.shape[-1]:
        return fit.p
    unseen = share_unseen(studies.loading_drug[rows] - studies.loading_comparator[rows], studies.plate)
    return np.asarray(2 * special.stdtr(fit.df, -np.abs(fit.estimate) / np.sqrt(fit.se**2 + unseen)), dtype=np.float64)


def share_unseen(loading: Array, plate: NDArray[np.intp]) -> Array:
    """Variance (s,) of the mean of ln ratios from curves that the scatter does not show; loadings of the ln ratios (s, n, k)."""
    n = loading.shape[1]
    together = sum(np.sum(loading[:, plate == place].sum(axis=1) ** 2, axis=-1) for place in np.unique(plate))
    shown = (np.sum(loading**2, axis=(1, 2)) - together / n) / (n * (n - 1))
    return np.maximum(together / n**2 - shown, 0.0)


def _compare_signs(low: Array, high: Array) -> Array:
    """Exact sign test of pairs whose direction is known."""
    positive, negative = (low > 0).sum(axis=1), (high < 0).sum(axis=1)
    tail = special.bdtr(np.minimum(positive, negative).astype(np.float64), positive + negative, 0.5)
    return np.where(positive + negative > 0, np.minimum(1.0, 2 * tail), 1.0)


def substitute(studies: Studies) -> Studies:
    """Half the limit in place of a value below it."""
    arms = [np.where(np.isinf(arm[..., :1]), arm[..., 1:] - np.log(2), arm) for arm in (studies.drug, studies.comparator)]
    return Studies(arms[0], arms[1], studies.plate, studies.loading_drug, studies.loading_comparator)


def compare_mixed(studies: Studies) -> Array:
    """P-values of the mixed model of all donors, Kenward and Roger; measured values."""
    return fit_incomplete_pairs(studies.drug[..., 0], studies.comparator[..., 0]).p


def compare_normal(studies: Studies) -> Array:
    """P-values as statsmodels' MixedLM has them: the mixed model of all donors, its z statistic referred to the normal distribution."""
    fit = fit_incomplete_pairs(studies.drug[..., 0], studies.comparator[..., 0], method=DegreesOfFreedom.SATTERTHWAITE)
    return np.asarray(2 * special.ndtr(-np.abs(fit.estimate / fit.se)), dtype=np.float64)


def compare_ranks(studies: Studies) -> Array:
    """P-values of the exact signed-rank test of complete pairs."""
    return _compare_differences(studies, _signed_rank)


def compare_flips(studies: Studies) -> Array:
    """P-values of the sign-flip test of complete pairs: all flips up to 20 donors, 999 drawn ones and the observed signs beyond."""
    rng = np.random.default_rng([SEED, len(studies.drug), studies.drug.shape[1]])
    return _compare_differences(studies, lambda d: _enumerated(d) if d.shape[1] <= MOST_ENUMERATED else _drawn(d, rng))


def _compare_differences(studies: Studies, test: Callable[[Array], Array]) -> Array:
    p = np.full(len(studies.drug), np.nan)
    for rows, drug, comparator in _by_pairs(studies):
        if drug.shape[1]:
            p[rows] = test(drug[..., 0] - comparator[..., 0])
    return p


def _signed_rank(d: Array) -> Array:
    """Differences without ties, (s, n)."""
    n = d.shape[1]
    total = np.where(d > 0, stats.rankdata(np.abs(d), axis=1), 0).sum(axis=1).astype(np.intp)
    return _rank_table(n)[total]


@cache
def _rank_table(n: int) -> Array:
    """P-value of each sum of positive ranks; a sample that has the sum is made by taking the largest ranks that still fit."""
    table = []
    for total in range(n * (n + 1) // 2 + 1):
        left, signs = total, np.ones(n)
        for rank in range(n, 0, -1):
            taken = rank <= left
            left -= rank * taken
            signs[rank - 1] = 1 if taken else -1
        table.append(compare_signed_rank(signs * np.arange(1, n + 1)).p)
    return np.array(table)


def _enumerated(d: Array) -> Array:
    """All flips of n differences: sums of either half of the donors, sorted and met in the middle."""
    n = d.shape[1]
    halves = [_signs(size) for size in (n // 2, n - n // 2)]
    p = np.empty(len(d))
    for i, row in enumerate(d):
        first, second = halves[0] @ row[: n // 2], np.sort(halves[1] @ row[n // 2 :])
        at_least = abs(row.sum()) - 1e-10 * np.abs(row).sum()
        p[i] = 2 * (second.size - np.searchsorted(second, at_least - first)).sum() / 2.0**n
    return np.minimum(p, 1.0)


@cache
def _signs(size: int) -> Array:
    return np.asarray(1.0 - 2.0 * ((np.arange(1 << size)[:, None] >> np.arange(size)) & 1), dtype=np.float64)


def _drawn(d: Array, rng: np.random.Generator) -> Array:
    p = np.empty(len(d))
    for start in range(0, len(d), 250):
        rows = slice(start, start + 250)
        flips = rng.choice([-1.0, 1.0], (d.shape[1], DRAWN_FLIPS))
        p[rows] = (1 + (np.abs(d[rows] @ flips) >= np.abs(d[rows].sum(axis=1))[:, None]).sum(axis=1)) / (DRAWN_FLIPS + 1)
    return p
