"""Numbers as a paper prints them: three significant digits, no exponent where none is needed; names as a figure has room for."""

import math
from collections.abc import Sequence

TIE = 1e-9
"""Relative nudge upwards before rounding: a tie goes up, whatever the last bits of a number that went through a logarithm."""


def print_number(value: float | None, digits: int = 3) -> str:
    """A number to some significant digits; empty when missing.

    >>> print_number(0.61984), print_number(1234.5), print_number(0.9996), print_number(31.25), print_number(None)
    ('0.620', '1230', '1.00', '31.3', '')
    """
    if value is None:
        return ""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    value *= 1 + TIE
    rounded = float(f"{value:.{digits - 1}e}")
    magnitude = math.floor(math.log10(abs(rounded)))
    if not -4 <= magnitude <= 6:
        return f"{rounded:.{digits - 1}e}"
    return f"{rounded:.{max(0, digits - 1 - magnitude)}f}"


def print_nominal(value: float | None) -> str:
    """A concentration that somebody chose: four significant digits, without zeros that say nothing.

    >>> print_nominal(500.0), print_nominal(7.8125), print_nominal(20000.0), print_nominal(0.0)
    ('500', '7.813', '20000', '0')
    """
    text = print_number(value, 4)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def print_df(value: float | None) -> str:
    """Degrees of freedom: whole ones as whole numbers.

    >>> print_df(21.0), print_df(7.548), print_df(None)
    ('21', '7.55', '')
    """
    return f"{value:.0f}" if value is not None and value == round(value) else print_number(value)


def print_p(p: float | None) -> str:
    """A p-value: two significant digits, ``<0.001`` and ``>0.99`` at the ends.

    >>> print_p(0.0004), print_p(0.01234), print_p(0.4567), print_p(1.0)
    ('<0.001', '0.012', '0.46', '>0.99')
    """
    if p is None:
        return ""
    if p < 0.001:
        return "<0.001"
    return ">0.99" if p > 0.99 else print_number(p, 2)


def print_interval(low: float | None, high: float | None) -> str:
    """A confidence interval.

    >>> print_interval(0.5123, 0.7481), print_interval(None, 0.43)
    ('0.512 to 0.748', 'up to 0.430')
    """
    if low is None and high is None:
        return ""
    if low is None:
        return f"up to {print_number(high)}"
    if high is None:
        return f"from {print_number(low)}"
    return f"{print_number(low)} to {print_number(high)}"


def print_percent(value: float | None) -> str:
    """A percentage: whole, with one decimal below ten.

    >>> print_percent(33.33), print_percent(2.04), print_percent(0.0), print_percent(None)
    ('33', '2.0', '0', '–')
    """
    if value is None:
        return "–"
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


def shorten_names(names: Sequence[str], most: int) -> list[str]:
    """Names in no more than some letters; where one is too long, what all long ones begin with is left out first.

    >>> shorten_names(["blank", "Patient-001 day7", "Patient-002 day7"], 10)
    ['blank', '…001 day7', '…002 day7']
    """
    long = sorted({name for name in names if len(name) > most})
    shared = next((k for k, (first, last) in enumerate(zip(long[0], long[-1], strict=False)) if first != last), 0) if long else 0
    cut = [f"…{name[shared:]}" if len(name) > most and shared > 1 else name for name in names]
    return [name if len(name) <= most else f"{name[: most - 1]}…" for name in cut]
