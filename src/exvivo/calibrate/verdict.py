"""One rule applied to one thing: what every check of a plate hands on. A verdict removes nothing."""

from dataclasses import dataclass

from exvivo.numerics.equivalence import Comparison, Equivalence
from exvivo.study.statuses import Rule, RuleOutcome

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule applied to one thing. An absent bound does not exist; an absent observation fails.

    ``ci_low`` and ``ci_high`` are of what was observed, where the rule is a test of equivalence: then there are three
    outcomes, because poor data neither show agreement nor a difference.
    """

    rule: Rule
    outcome: RuleOutcome
    subject: str | None = None
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the rule holds."""
        return self.outcome in {RuleOutcome.HELD, RuleOutcome.SHOWN}

    @classmethod
    def of(cls, rule: Rule, passed: bool, subject: str | None = None) -> "Verdict":  # noqa: FBT001  a verdict is one
        """A rule that holds or does not."""
        return cls(rule, RuleOutcome.HELD if passed else RuleOutcome.FAILED, subject)

    @classmethod
    def within(
        cls, rule: Rule, observed: float | None, low: float | None = None, high: float | None = None, *, subject: str | None = None
    ) -> "Verdict":
        """A number against its bounds, both included."""
        held = observed is not None and (low is None or observed >= low) and (high is None or observed <= high)
        return cls(rule, RuleOutcome.HELD if held else RuleOutcome.FAILED, subject, observed, low, high)

    @classmethod
    def compared(cls, rule: Rule, subject: str, found: Comparison, bounds: tuple[float, float]) -> "Verdict":
        """A ratio by its interval."""
        outcome = {Equivalence.SHOWN: RuleOutcome.SHOWN, Equivalence.NOT_SHOWN: RuleOutcome.NOT_SHOWN}.get(
            found.outcome, RuleOutcome.DIFFERS
        )
        return cls(rule, outcome, subject, found.ratio, *bounds, found.low, found.high, found.p)

    def row(self) -> Row:
        """VERDICTS columns of the verdict itself."""
        names = ("rule", "subject", "observed", "low", "high", "ci_low", "ci_high", "p", "outcome", "passed")
        return {name: getattr(self, name) for name in names}


def coefficient_of_variation(numbers: list[float]) -> float | None:
    """In per cent, None where the mean is not positive.

    >>> coefficient_of_variation([1.0, 3.0]), coefficient_of_variation([-1.0, 1.0])
    (70.71067811865476, None)
    """
    mean = sum(numbers) / len(numbers)
    if mean <= 0:
        return None
    return float(100 * (sum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)) ** 0.5 / mean)
