"""How strongly two descriptions of the same donors go together, as one number from 0 (not at all) to 1 (one tells the other).

In: labels, or labels and numbers, or numbers, of the same donors. Out: Cramér's V, the correlation ratio, or the size of Pearson's r.
All three are the square root of a share that one description explains of the other.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def associate_labels(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Cramér's V of two labels of each donor; None where one of them does not vary.

    Notes
    -----
    Square root of chi-squared / (n (k - 1)), k the smaller number of levels, without continuity correction. For two binary labels
    it is the size of their correlation. Cramér 1946, *Mathematical Methods of Statistics*, section 21.9.

    Examples
    --------
    >>> associate_labels(["a", "a", "b", "b"], ["x", "x", "y", "y"]), associate_labels(["a", "b", "a", "b"], ["x", "x", "y", "y"])
    (1.0, 0.0)
    """
    rows, columns = sorted(set(one)), sorted(set(other))
    smaller = min(len(rows), len(columns))
    if smaller < 2:
        return None
    pairs = list(zip(one, other, strict=True))
    counts = np.array([[pairs.count((row, column)) for column in columns] for row in rows], dtype=np.float64)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    return float(np.sqrt(((counts - expected) ** 2 / expected).sum() / (counts.sum() * (smaller - 1))))


def associate_score(labels: Sequence[str], score: ArrayLike) -> float | None:
    """Correlation ratio of a score, shape (n,), on labels: root of the share of its variance that lies between labels.

    Examples
    --------
    >>> associate_score(["a", "a", "b", "b"], [1.0, 1.0, 3.0, 3.0])
    1.0
    """
    x = np.asarray(score, dtype=np.float64)
    levels = sorted(set(labels))
    if len(levels) < 2 or np.ptp(x) == 0:
        return None
    own = np.array([[label == level for label in labels] for level in levels], dtype=np.float64)
    sizes = own.sum(axis=1)
    between = float(sizes @ (own @ x / sizes - x.mean()) ** 2)
    return float(np.sqrt(between / ((x - x.mean()) ** 2).sum()))


def associate_scores(one: ArrayLike, other: ArrayLike) -> float | None:
    """Size of Pearson's correlation of two scores, shape (n,) each; None where one of them does not vary."""
    x, y = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return abs(float(np.corrcoef(x, y)[0, 1]))
