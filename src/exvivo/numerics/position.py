"""Whether a well's place on the plate changes its signal, by rows, by columns or at the edge.

Readings of wells in units of their SD flow in, with the design that says what they should read (such as one mean for
each set of replicates); F tests flow out. What the fit has used up is
projected out first, so that duplicates side by side rightly say nothing about rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from exvivo.numerics.variance import Array

FEWEST_DF = 16
_TOLERANCE = 1e-8

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class PositionTest:
    """One kind of place: largest less smallest relative effect of its levels (shrunk), F test that there is none."""

    effect: float
    F: float
    df: tuple[int, int]
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """Wells in units of their own SD.

    Parameters
    ----------
    response : (n,), readings over SD
    fitted : (n, k), design that expectations were fitted by, over SD
    scale : (n,), expectation over SD: what a relative effect of one would add
    row, column : (n,), 0-based
    shape : rows and columns of the plate
    """

    response: Array
    fitted: Array
    scale: Array
    row: Places
    column: Places
    shape: tuple[int, int]


def find_position_effects(wells: Deviations) -> Mapping[str, PositionTest]:
    """F tests of ``row``, ``column`` and ``edge``; a kind that the wells cannot tell has no entry.

    Notes
    -----
    Extra sum of squares in a weighted linear model. Reference test: tests/reference/numerics/test_position.py
    (statsmodels ``compare_f_test``).
    """
    last_row, last_column = wells.shape[0] - 1, wells.shape[1] - 1
    edge = (wells.row == 0) | (wells.row == last_row) | (wells.column == 0) | (wells.column == last_column)
    kinds = {"row": wells.row, "column": wells.column, "edge": edge.astype(np.intp)}
    basis = _span(wells.fitted, np.linalg.norm(wells.fitted, axis=0))
    tests = {name: _test(wells, basis, levels) for name, levels in kinds.items()}
    return {name: test for name, test in tests.items() if test is not None}


def _test(wells: Deviations, basis: Array, levels: Places) -> PositionTest | None:
    known = np.unique(levels)
    design = wells.scale[:, None] * (levels[:, None] == known)
    norms = np.linalg.norm(design, axis=0)
    design = design - basis @ (basis.T @ design)
    response = wells.response - basis @ (basis.T @ wells.response)
    extra = _span(design, norms)
    df = (extra.shape[1], wells.response.size - basis.shape[1] - extra.shape[1])
    if df[0] == 0 or df[1] < FEWEST_DF:
        return None
    explained = float(np.sum((extra.T @ response) ** 2))
    unexplained = float(np.sum(response**2)) - explained
    if unexplained <= 0:
        return None
    F = (explained / df[0]) / (unexplained / df[1])
    effect = _predict_range(design, response, (explained - df[0] * unexplained / df[1], unexplained / df[1]))
    return PositionTest(effect, F, df, float(fdtrc(*df, F)))


def _predict_range(design: Array, response: Array, variances: tuple[float, float]) -> float:
    """Largest less smallest effect, each shrunk as far as the wells leave it open.

    Levels count as random, their variance by Henderson's method of moments (``variances``: sum of squares beyond chance,
    residual variance); the best linear predictions do not take the chance scatter of a dozen levels for an effect.
    """
    beyond_chance, residual = variances
    information = design.T @ design
    component = beyond_chance / float(np.trace(information))
    if component <= 0:
        return 0.0
    return float(np.ptp(np.linalg.solve(information + residual / component * np.eye(len(information)), design.T @ response)))


def _span(matrix: Array, norms: Array) -> Array:
    """Orthonormal basis of the columns' span, shape (n, rank); what is left of a column is judged against its ``norms``."""
    left, singular, _ = np.linalg.svd(matrix / np.where(norms > 0, norms, 1.0), full_matrices=False)
    return np.asarray(left[:, singular > _TOLERANCE])
