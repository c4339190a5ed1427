"""Analysis of variance in error strata, exact for designs in which every effect lives in one stratum.

In: a response, the columns of each term, and the columns of each error term from the coarsest to the finest. The response
space falls into orthogonal strata; in each, terms are fitted in their order and what is left is that stratum's error. Out:
one F test for each term, in the stratum where it is estimated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from exvivo.numerics.inference import Array, JointTest, infer_f

_RANK = 1e-7  # relative size below which a column adds nothing


@dataclass(frozen=True, slots=True, eq=False)
class StratumLine:
    """A term in a stratum: its sum of squares and degrees of freedom, and the test where the stratum has an error left."""

    stratum: int
    sum_of_squares: float
    df: int
    test: JointTest | None


def analyse_strata(response: ArrayLike, terms: Mapping[str, Array], errors: Sequence[Array]) -> dict[str, tuple[StratumLine, ...]]:
    """Analysis of variance with error strata.

    Parameters
    ----------
    response : shape (n,)
    terms : columns (n, q) of each term by name, in the order of fitting; sequential sums of squares
    errors : columns (n, q) of each error term, coarsest first; what they leave is the last stratum

    Returns
    -------
    dict : for each term its lines, one for each stratum in which it has degrees of freedom, the finest first

    Notes
    -----
    Nelder 1965, Proc R Soc A 283:147. Reference: R `aov` with `Error()`, case k06.
    """
    y = np.asarray(response, dtype=np.float64)
    bases = _split_space(y.size, errors)
    lines: dict[str, list[StratumLine]] = {name: [] for name in terms}
    for number, basis in reversed(list(enumerate(bases))):
        for name, line in _analyse_one(basis, y, terms, number).items():
            lines[name].append(line)
    return {name: tuple(own) for name, own in lines.items()}


def _split_space(rows: int, errors: Sequence[Array]) -> list[Array]:
    """Orthonormal bases of the strata beside the mean."""
    taken = np.full((rows, 1), rows**-0.5)
    bases = []
    for columns in [*errors, np.eye(rows)]:
        basis = _basis(columns - taken @ (taken.T @ columns), columns)
        if basis.shape[1]:
            bases.append(basis)
            taken = np.hstack([taken, basis])
    return bases


def _analyse_one(basis: Array, y: Array, terms: Mapping[str, Array], number: int) -> dict[str, StratumLine]:
    inside = basis.T @ y
    fitted = np.zeros((len(inside), 0))
    parts: dict[str, tuple[float, int]] = {}
    for name, columns in terms.items():
        projected = basis.T @ columns
        own = _basis(projected - fitted @ (fitted.T @ projected), columns)
        if own.shape[1]:
            parts[name] = float(((own.T @ inside) ** 2).sum()), own.shape[1]
            fitted = np.hstack([fitted, own])
    spare = len(inside) - fitted.shape[1]
    left = inside - fitted @ (fitted.T @ inside)
    error = float(left @ left) / spare if spare else 0.0
    return {
        name: StratumLine(number, squares, df, infer_f(squares / df / error, df, spare) if spare and error > 0 else None)
        for name, (squares, df) in parts.items()
    }


def _basis(columns: Array, scale: Array) -> Array:
    """Orthonormal basis of what columns span, up to rounding of the columns they came from."""
    U, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(U[:, values > _RANK * max(float(np.linalg.norm(scale, 2)), 1e-300)], dtype=np.float64)
