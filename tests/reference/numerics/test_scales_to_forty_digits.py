"""Logicle and hyperlog against their definitions solved with 40 digits (Moore & Parks 2012; Gating-ML 2.0, section 6)."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from exvivo.numerics import cells
from exvivo.numerics.kernels import PLAIN

DIGITS = 50
CASES = [
    (262144.0, 0.5, 4.5, 0.0), (10000.0, 0.5, 4.5, 0.0), (262144.0, 1.0, 4.5, 0.0), (262144.0, 0.1, 4.5, 0.5),
    (4194304.0, 1.2, 5.5, 0.0), (1000.0, 1.0, 4.0, 0.0), (1000.0, 1.0, 4.0, 1.0), (1.0, 0.25, 3.0, 0.0),
]  # fmt: skip
SHARES = [-1.0, -0.3, -0.01, -1e-4, -1e-7, 1e-9, 1e-5, 1e-3, 0.02, 0.4, 0.999, 1.0, 1.7]


def _logicle(T: Decimal, W: Decimal, M: Decimal, A: Decimal) -> tuple[Decimal, ...]:
    """The published a, b, c, d, f of x = a e^(b y) - c e^(-d y) - f."""
    w, x2 = W / (M + A), A / (M + A)
    x1 = x2 + w
    x0 = x2 + 2 * w
    b = (M + A) * Decimal(10).ln()
    low, high = Decimal(0), b  # 2 (ln d - ln b) + w (d + b) = 0 grows with d
    for _ in range(180):
        d = (low + high) / 2
        low, high = (low, d) if 2 * (d.ln() - b.ln()) + w * (d + b) > 0 else (d, high)
    c_a = (x0 * (b + d)).exp()
    f_a = (b * x1).exp() - c_a / (d * x1).exp()
    a = T / (b.exp() - f_a - c_a / d.exp())
    return a, b, c_a * a, d, f_a * a


def _hyperlog(T: Decimal, W: Decimal, M: Decimal, A: Decimal) -> tuple[Decimal, ...]:
    """The published a, b, c, f of x = a e^(b y) + c y - f."""
    w, x2 = W / (M + A), A / (M + A)
    x1 = x2 + w
    x0 = x2 + 2 * w
    b = (M + A) * Decimal(10).ln()
    e0 = (b * x0).exp()
    c_a = e0 / w
    f_a = (b * x1).exp() + c_a * x1
    a = T / (b.exp() + c_a - f_a)
    return a, b, c_a * a, f_a * a


def _solve(kind: str, x: Decimal, parameters: tuple[Decimal, ...]) -> Decimal:
    """Display value by bisection of the published inverse, which rises; below zero the scale is mirrored, as the paper says."""
    if kind == "logicle":
        a, b, c, d, f = _logicle(*parameters)
    else:
        a, b, c, f = _hyperlog(*parameters)
    low, high = Decimal(-3), Decimal(3)
    for _ in range(150):
        y = (low + high) / 2
        value = a * (b * y).exp() - f + (c * y if kind == "hyperlog" else -c * (-d * y).exp())
        low, high = (low, y) if value > abs(x) else (y, high)
    _, W, M, A = parameters
    return (low + high) / 2 if x >= 0 else 2 * (A + W) / (M + A) - (low + high) / 2


@pytest.mark.parametrize("kind", ["logicle", "hyperlog"])
@pytest.mark.parametrize("case", CASES)
def test_exact_scale_and_table(kind: str, case: tuple[float, float, float, float]) -> None:
    x = np.array([share * case[0] for share in SHARES])
    with localcontext() as context:
        context.prec = DIGITS
        truth = np.array([float(_solve(kind, Decimal(value), tuple(Decimal(p) for p in case))) for value in x.tolist()])
    parameters = dict(zip("TWMA", case, strict=True))
    assert np.max(np.abs(cells.to_scale(kind, x, parameters) - truth)) <= 1e-14
    table = cells.table_of(kind, parameters)
    assert table is not None
    assert np.max(np.abs(PLAIN.show(x, table) - truth)) < 5e-9


def test_asinh_is_the_library_s_to_the_last_digits() -> None:
    T, M, A = 1000.0, 4.0, 1.0
    x = np.array([share * T for share in SHARES])
    truth = [(math.asinh(v * math.sinh(M * math.log(10)) / T) + A * math.log(10)) / ((M + A) * math.log(10)) for v in x.tolist()]
    np.testing.assert_allclose(cells.asinh(x, T, M, A), truth, rtol=0, atol=1e-14)
