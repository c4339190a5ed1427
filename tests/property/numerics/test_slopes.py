import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from exvivo.numerics.mixed import Correlated, DegreesOfFreedom, fit_mixed, indicate


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    groups=st.integers(4, 10),
    sds=st.tuples(st.sampled_from([0.0, 0.5, 2.0]), st.sampled_from([0.0, 0.1, 0.6])),
)
def test_any_slopes_are_fitted_in_their_maximum(seed: int, groups: int, sds: tuple[float, float]) -> None:
    """No covariance near the estimate has a larger restricted likelihood; it is a covariance; inference is finite."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 4)
    time = np.tile([0.0, 1.0, 2.0, 4.0], groups)
    kept = np.sort(rng.permutation(group.size)[: group.size - 2])
    group, time = group[kept], time[kept]
    y = sds[0] * rng.normal(size=groups)[group] + (0.3 + sds[1] * rng.normal(size=groups)[group]) * time + 0.5 * rng.normal(size=time.size)
    Z = indicate([f"{g}" for g in group])
    X = np.column_stack([np.ones_like(time), time])
    fit = fit_mixed(y, X, [Correlated((Z, Z * time[:, None]))])

    def restricted(components: np.ndarray) -> float:
        a, b, c, s2 = components
        B = Z * time[:, None]
        V = a * Z @ Z.T + b * B @ B.T + c * (Z @ B.T + B @ Z.T) + s2 * np.eye(time.size)
        W = np.linalg.inv(V)
        information = X.T @ W @ X
        off = y - X @ np.linalg.solve(information, X.T @ W @ y)
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1]
        return float(logs + off @ W @ off + (y.size - 2) * np.log(2 * np.pi))

    a, b, c, _ = fit.variances
    assert min(a, b) >= 0
    assert a * b - c * c >= -1e-9 * (1 + a * b)
    best = restricted(fit.variances)
    assert abs(best - fit.criterion) < 1e-6
    root = np.array([[np.sqrt(a), 0.0], [c / np.sqrt(a) if a > 0 else 0.0, 0.0]])
    root[1, 1] = np.sqrt(max(b - root[1, 0] ** 2, 0.0))
    for _ in range(20):
        moved = root + 0.02 * np.tril(rng.normal(size=(2, 2)))
        M = moved @ moved.T
        assert restricted(np.array([M[0, 0], M[1, 1], M[0, 1], fit.variances[-1]])) >= best - 1e-7
    for method in DegreesOfFreedom:
        assert np.isfinite(fit.contrast([0, 1], method=method).p)
