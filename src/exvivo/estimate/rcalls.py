"""An estimate and the data behind it -> the R code that computes it again.

In: a row and its basis. Out: lines of R with the data in them, ending in `result`, a named vector of ratio, limits and
p-value. Base R does most of it; lme4 and pbkrtest the mixed models, mvtnorm the censored pairs. Functions that blocks
share (`from_t`, `kenward_roger`, `fit_reml`, `flip_signs`, `censored_pairs`) stand at the head of ``reproduce.R``.
One writer per method, found by table. A method without one has no call, and the report counts it.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from exvivo.estimate.effect import Basis, Effect
from exvivo.estimate.pairs import Reading, bounds_of
from exvivo.numerics.inference import Array
from exvivo.study.statuses import EffectStatus, Method

MIXED = ("lme4", "pbkrtest")
MEANS = (*MIXED, "emmeans")


@dataclass(frozen=True, slots=True)
class Call:
    """Lines of R, the packages that they need beyond those of R itself, and the relative difference that rounding explains."""

    code: str
    packages: tuple[str, ...] = ()
    tolerance: float = 1e-6


_WIDEST = 120

Writer = Callable[[Effect, Basis, float], Call | None]


def write_call(effect: Effect, level: float) -> Call | None:
    """R code of an estimate at a confidence level.

    None where there is no estimate, none that R can repeat, or no ln ratio that differs from the others (R refuses those).
    """
    writer = WRITERS.get(effect.method) if effect.method else None
    if writer is None or effect.basis is None or effect.status not in (EffectStatus.ESTIMATED, EffectStatus.BOUND_ONLY):
        return None
    if effect.basis.pairs.count and _all_alike(effect.basis.bounds):
        return None
    call = writer(effect, effect.basis, level)
    if call is None or not effect.basis.unseen:
        return call
    return Call(f"{call.code}\n{_add_curves(effect.basis.unseen, level)}", call.packages, call.tolerance)


def _all_alike(bounds: Array) -> bool:
    """Whether ln ratios differ by no more than R takes for rounding."""
    return bool(np.isfinite(bounds).all()) and bool(np.ptp(bounds) <= 1e-12 * np.abs(bounds).max())


def _add_curves(unseen: float, level: float) -> str:
    """The variance that pairs share on curves, added to a result that rests on t."""
    return "\n".join(
        [
            f"unseen <- {unseen!r}  # variance of the mean that the scatter between pairs does not show: shared standard curves",
            f'df <- result[["df"]]; quantile <- qt({(1 + level) / 2!r}, df)',
            'half <- log(result[c("low", "high")] / result[["ratio"]]); se <- diff(half)[[1]] / (2 * quantile)',
            'result[c("low", "high")] <- result[["ratio"]] * exp(c(-1, 1) * sqrt(half^2 + quantile^2 * unseen))',
            'result[["p"]] <- 2 * pt(qt(result[["p"]] / 2, df) * se / sqrt(se^2 + unseen), df)',
        ]
    )


def _numbers(name: str, values: Iterable[float]) -> str:
    return _vector(name, ["Inf" if v == np.inf else "-Inf" if v == -np.inf else repr(float(v)) for v in values])


def _texts(name: str, values: Iterable[str]) -> str:
    return _vector(name, [json.dumps(value) for value in values])


def _vector(name: str, cells: Sequence[str]) -> str:
    """R's `c(...)`, in lines as wide as cells allow."""
    lines, line = [], f"{name} <- c("
    for cell in [f"{cell}, " for cell in cells[:-1]] + [f"{cell})" for cell in cells[-1:]]:
        if len(line) + len(cell.rstrip()) > _WIDEST:
            lines.append(line.rstrip())
            line = "  "
        line += cell
    return "\n".join([*lines, line if cells else f"{line})"])


def _middle(basis: Basis) -> str:
    """The ln ratios; their middle where they are intervals."""
    return _numbers("d", basis.bounds.mean(axis=1))


def _paired(_: Effect, basis: Basis, level: float) -> Call:
    lines = [
        _middle(basis),
        f"fit <- t.test(d, conf.level = {level!r})",
        "result <- c(ratio = exp(fit$estimate[[1]]), low = exp(fit$conf.int[1]), high = exp(fit$conf.int[2]), p = fit$p.value,",
        "  df = fit$parameter[[1]])",
    ]
    return Call("\n".join(lines))


def _signed_rank(_: Effect, basis: Basis, level: float) -> Call | None:
    d = np.round(basis.bounds[:, 0], 10)
    if (d == 0).any() or np.unique(np.abs(d)).size < d.size:
        return None
    lines = [
        _middle(basis),
        f"fit <- wilcox.test(d, exact = TRUE, conf.int = TRUE, conf.level = {level!r})",
        'walsh <- outer(d, d, "+")[upper.tri(diag(length(d)), diag = TRUE)] / 2  # Hodges-Lehmann: their median',
        "result <- c(ratio = exp(median(walsh)), low = exp(fit$conf.int[1]), high = exp(fit$conf.int[2]), p = fit$p.value)",
    ]
    return Call("\n".join(lines))


def _flips(effect: Effect, basis: Basis, _: float) -> Call:
    exact = json.loads(effect.detail or "{}").get("exact", False)
    lines = [_middle(basis), "result <- c(ratio = exp(mean(d)), p = flip_signs(d))" if exact else "result <- c(ratio = exp(mean(d)))"]
    if not exact:
        lines.append("# p was drawn from random changes of sign and is not compared; flip_signs(d) tries all of them")
    return Call("\n".join(lines))


def _trimmed(_: Effect, basis: Basis, level: float) -> Call:
    lines = [
        _middle(basis),
        "n <- length(d); g <- floor(0.2 * n + 1e-9); s <- sort(d)",
        "w <- pmin(pmax(d, s[g + 1]), s[n - g])  # winsorised",
        f"result <- from_t(mean(s[(g + 1):(n - g)]), sd(w) / (0.6 * sqrt(n)), n - 2 * g - 1, {level!r})",
    ]
    return Call("\n".join(lines))


def _plates(_: Effect, basis: Basis, level: float) -> Call | None:
    if basis.moves is None:
        return None
    columns = [_numbers(f"plate{k}", column) for k, column in enumerate(basis.moves.T, start=1)]
    names = " + ".join(f"plate{k}" for k in range(1, basis.moves.shape[1] + 1))
    lines = [
        _middle(basis),
        "# share of each plate in the drug's value, less that in the comparator's",
        *columns,
        f"fit <- lm(d ~ {names})",
        "k <- summary(fit)$coefficients[1, ]",
        f"result <- from_t(k[[1]], k[[2]], df.residual(fit), {level!r})",
    ]
    return Call("\n".join(lines))


def _leave_out(_: Effect, basis: Basis, __: float) -> Call:
    lines = [
        _middle(basis),
        "without <- exp((sum(d) - d) / (length(d) - 1))",
        "result <- c(ratio = exp(mean(d)), smallest = min(without), largest = max(without))",
    ]
    return Call("\n".join(lines))


def _interval_rank(_: Effect, basis: Basis, __: float) -> Call:
    lines = [
        *_limits(basis),
        'sums <- function(x) outer(x, x, "+")[upper.tri(diag(length(x)), diag = TRUE)]',
        "w <- sum(sums(low) > 0):sum(sums(high) >= 0)  # every signed-rank sum that the limits allow",
        "result <- c(p = max(pmin(1, 2 * pmin(psignrank(w, length(d)), psignrank(w - 1, length(d), lower.tail = FALSE)))))",
    ]
    return Call("\n".join(lines).replace("length(d)", "length(low)"))


def _sign_test(effect: Effect, basis: Basis, level: float) -> Call:
    both = effect.ci_low is not None and effect.ci_high is not None
    low, high = basis.bounds.T
    known = bool(((low > 0) | (high < 0)).any())
    lines = [
        *_limits(basis),
        f"n <- length(low); k <- sum(pbinom(0:n, n, 0.5) <= {1 - ((1 + level) / 2 if both else level)!r} * (1 + 1e-12))",
        "result <- c(low = if (k) exp(sort(low)[k]) else 0, high = if (k) exp(sort(high)[n + 1 - k]) else Inf,",
        f"  p = {'binom.test(sum(low > 0), sum(low > 0) + sum(high < 0))$p.value' if known else '1'})",
    ]
    return Call("\n".join(lines))


def _limits(basis: Basis) -> list[str]:
    return [_numbers("low", basis.bounds[:, 0]), _numbers("high", basis.bounds[:, 1])]


def _censored(_: Effect, basis: Basis, level: float) -> Call:
    lines = [*_readings("drug", basis.pairs.drug), *_readings("comparator", basis.pairs.comparator)]
    lines.append(f"result <- censored_pairs(drug, comparator, {level!r})")
    return Call("\n".join(lines), ("mvtnorm",), 1e-4)


def _readings(name: str, readings: Sequence[Reading]) -> list[str]:
    """Lower and upper bounds of ln values as a matrix of two columns."""
    low, high = bounds_of(readings).T
    return [_numbers("low", low), _numbers("high", high), f"{name} <- cbind(low, high)"]


def _linear(effect: Effect, basis: Basis, level: float) -> Call:
    per = json.loads(effect.detail or "{}").get("per")
    if not basis.levels:
        lines = [_middle(basis), _numbers("score", map(float, basis.values)), f"fit <- lm(d ~ I(score / {per!r}))"]
        return Call("\n".join([*lines, *_coefficient(2, level)]))
    place = 2 if effect.level is None else basis.levels.index(effect.level) + 1
    formula = "d ~ group" if effect.level is None else "d ~ 0 + group" if len(basis.levels) > 1 else "d ~ 1"
    return Call("\n".join([*_groups(basis), f"fit <- lm({formula})", *_coefficient(place, level)]))


def _coefficient(place: int, level: float) -> list[str]:
    return [f"k <- summary(fit)$coefficients[{place}, ]", f"result <- from_t(k[[1]], k[[2]], df.residual(fit), {level!r})"]


def _groups(basis: Basis) -> list[str]:
    return [_middle(basis), _texts("group", basis.values), _texts("levels", basis.levels), "group <- factor(group, levels)"]


def _joint(_: Effect, basis: Basis, __: float) -> Call:
    return Call("\n".join([*_groups(basis), "result <- c(p = anova(lm(d ~ group))[1, 5])"]))


def _welch(_: Effect, basis: Basis, level: float) -> Call:
    lines = [
        *_groups(basis),
        f"fit <- t.test(d[group == levels[2]], d[group == levels[1]], conf.level = {level!r})",
        "result <- c(ratio = exp(fit$estimate[[1]] - fit$estimate[[2]]), low = exp(fit$conf.int[1]), high = exp(fit$conf.int[2]),",
        "  p = fit$p.value)",
    ]
    return Call("\n".join(lines))


def _unpaired(_: Effect, basis: Basis, level: float) -> Call:
    lines = [*_long(basis, ("donor",)), "fit <- fit_reml(y ~ arm + (1 | donor), data)", "k <- kenward_roger(fit, 2)"]
    return Call("\n".join([*lines, f'result <- from_t(k[["estimate"]], k[["se"]], k[["df"]], {level!r})']), MIXED, 1e-5)


def _long(basis: Basis, groups: Sequence[str]) -> list[str]:
    """Exact readings one below the other, the drug's first, with the labels of the groups."""
    pairs = basis.pairs
    arms = ((*pairs.drug, *pairs.single_drug), (*pairs.comparator, *pairs.single_comparator))
    used = [(reading, arm) for arm, readings in zip((1.0, 0.0), arms, strict=True) for reading in readings if reading.exact]
    labels = [_texts(name, [getattr(reading, name) for reading, _ in used]) for name in groups]
    lines = [_numbers("y", [reading.low for reading, _ in used]), _numbers("arm", [arm for _, arm in used]), *labels]
    return [*lines, f"data <- data.frame(y, arm, {', '.join(groups)})"]


def _crossed(effect: Effect, basis: Basis, level: float) -> Call | None:
    facts = json.loads(effect.detail or "{}")
    random, variances = facts.get("random", ()), facts.get("variances", {})
    if not random:
        return None
    apart = not basis.pairs.count
    if apart:
        lines, mean, place = _long(basis, random), "y ~ arm", 2
    else:
        labels = {"donor": basis.pairs.donors, "serum_donor": basis.pairs.serum_donors}
        lines = [_middle(basis), *(_texts(name, labels[name]) for name in random)]
        lines.append(f"data <- data.frame(d, {', '.join(random)})")
        mean, place = "d ~ 1", 1
    kept = [name for name in random if variances[name] > 0]
    if len(kept) < len(random):
        lines.append("# a variance that is estimated as zero has left the model")
    lines += [f"fit <- {_fit(mean, kept)}", f"k <- kenward_roger(fit, {place})"]
    return Call("\n".join([*lines, f'result <- from_t(k[["estimate"]], k[["se"]], k[["df"]], {level!r})']), MIXED, 1e-5)


def _fit(mean: str, groups: Sequence[str]) -> str:
    random = "".join(f" + (1 | {name})" for name in groups)
    return f"fit_reml({mean}{random}, data)" if groups else f"lm({mean}, data)"


def _calibrated(effect: Effect, basis: Basis, level: float) -> Call:
    facts = json.loads(effect.detail or "{}")
    lines = [
        _middle(basis),
        _numbers("score", map(float, basis.values)),
        f"k <- summary(lm(d ~ I(score / {facts['per']!r})))$coefficients[2, ]",
        f"lost <- {facts['measurement_sd']!r}^2 / var(score)  # share of the score's variance that is its error",
        "ratio <- k[[1]] / (1 - lost); se <- sqrt(k[[2]]^2 + (ratio * lost * sqrt(2 / (length(score) - 1)))^2) / (1 - lost)",
        f'result <- from_t(ratio, se, length(d) - 2, {level!r})[c("ratio", "low", "high")]',
    ]
    return Call("\n".join(lines))


def _shrunken(effect: Effect, basis: Basis, _: float) -> Call | None:
    if effect.level is None:
        return None
    lines = [
        *_groups(basis),
        "k <- summary(lm(d ~ 0 + group))$coefficients",
        'fit <- metafor::rma(k[, 1], sei = k[, 2], method = "REML", control = list(threshold = 1e-10, maxiter = 1000))',
        f"result <- c(ratio = exp(metafor::blup(fit)$pred[{basis.levels.index(effect.level) + 1}]))",
    ]
    return Call("\n".join(lines), ("metafor",), 1e-4)


def _interval(effect: Effect, basis: Basis, level: float) -> Call:
    """Normal regression of bounds; profile limits, the likelihood ratio referred to t or F."""
    lines = [
        *_limits(basis),
        'y <- survival::Surv(ifelse(is.finite(low), low, NA), ifelse(is.finite(high), high, NA), type = "interval2")',
        'll <- function(formula) survival::survreg(formula, dist = "gaussian")$loglik[2]',
        "m <- sum(low == high)",
    ]
    if effect.estimate is None:
        lines += [
            _texts("group", basis.values),
            "q <- length(unique(group)) - 1; df <- m - q - 1",
            "result <- c(p = pf(expm1(2 * (ll(y ~ group) - ll(y ~ 1)) / m) * df / q, q, df, lower.tail = FALSE))",
        ]
        return Call("\n".join(lines), ("survival",), 1e-4)
    score = [float(value == basis.levels[1]) for value in basis.values] if basis.levels else list(map(float, basis.values))
    per = json.loads(effect.detail or "{}").get("per", 1.0)
    lines += [
        _numbers("x", score) + (f"; x <- (x - mean(x)) / {per!r}" if not basis.levels else ""),
        'fit <- survival::survreg(y ~ x, dist = "gaussian"); b <- fit$coefficients[[2]]; se <- sqrt(fit$var[2, 2])',
        "w <- function(at) max(0, 2 * (fit$loglik[2] - ll(y ~ 1 + offset(at * x)))); df <- m - 2",
        f"cut <- m * log1p(qt({(1 + level) / 2!r}, df)^2 / df)",
        "end <- function(side) uniroot(function(at) w(at) - cut, sort(b + side * se * c(0.5, 20)), tol = 1e-9)$root",
        "result <- c(ratio = exp(b), low = exp(end(-1)), high = exp(end(1)), p = 2 * pt(-sqrt(df * expm1(w(0) / m)), df))",
    ]
    return Call("\n".join(lines), ("survival",), 1e-4)


def _dunnett(effect: Effect, basis: Basis, level: float) -> Call:
    compared = effect.contrast.split("/", 1)[0]
    place = basis.levels.index(compared)
    lines = [
        *_levels(basis),
        'all <- emmeans::contrast(means, "trt.vs.ctrl")',
        f'k <- summary(all, infer = TRUE, level = {level!r}, adjust = "mvt")[{place}, ]  # random integration: three digits',
        f'p <- summary(all, infer = TRUE, adjust = "none")[{place}, "p.value"]',
        "result <- c(ratio = exp(k$estimate), low = exp(k$lower.CL), high = exp(k$upper.CL), p = p)",
    ]
    return Call("\n".join(lines), MEANS, 5e-3)


def _trend(_: Effect, basis: Basis, level: float) -> Call | None:
    if basis.moves is None:
        return None
    lines = [
        *_levels(basis),
        _numbers("weights", basis.moves[:, 0]),
        f"k <- summary(emmeans::contrast(means, list(trend = weights)), infer = TRUE, level = {level!r})",
        "result <- c(ratio = exp(k$estimate), low = exp(k$lower.CL), high = exp(k$upper.CL), p = k$p.value)",
    ]
    return Call("\n".join(lines), MEANS, 1e-5)


def _levels(basis: Basis) -> list[str]:
    """Mixed model of the ln values of several levels, with the means of the levels."""
    used = basis.pairs.single_drug
    return [
        _numbers("y", [reading.low for reading in used]),
        _texts("donor", [reading.donor for reading in used]),
        _texts("level", basis.values),
        _texts("levels", basis.levels),
        "data <- data.frame(y, donor, level = factor(level, levels))",
        "fit <- lme4::lmer(y ~ level + (1 | donor), data)",
        'means <- emmeans::emmeans(fit, ~ level, lmer.df = "kenward-roger")',
    ]


WRITERS: Mapping[Method, Writer] = MappingProxyType(
    {
        Method.PAIRED_T: _paired,
        Method.DONOR_MEANS: _paired,
        Method.HALF_LLOQ: _paired,
        Method.SIGNED_RANK: _signed_rank,
        Method.SIGN_FLIP: _flips,
        Method.MAX_T: _flips,
        Method.DUNNETT: _dunnett,
        Method.TREND: _trend,
        Method.TRIMMED: _trimmed,
        Method.PLATES: _plates,
        Method.LEAVE_ONE_OUT: _leave_out,
        Method.INTERVAL_RANK: _interval_rank,
        Method.SIGN_TEST: _sign_test,
        Method.CENSORED: _censored,
        Method.LINEAR: _linear,
        Method.JOINT_F: _joint,
        Method.WELCH: _welch,
        Method.CALIBRATED: _calibrated,
        Method.SHRUNKEN: _shrunken,
        Method.INTERVAL: _interval,
        Method.MIXED_UNPAIRED: _unpaired,
        Method.CROSSED: _crossed,
    }
)
