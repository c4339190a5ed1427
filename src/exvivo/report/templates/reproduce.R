# Functions that the blocks below share. Everything is on the natural log scale until the last step.

available <- function(...) {
  absent <- Filter(function(name) !requireNamespace(name, quietly = TRUE), c(...))
  if (length(absent)) cat("left out, needs", paste(absent, collapse = ", "), "\n")
  !length(absent)
}

checked <- new.env()
checked$n <- 0
checked$off <- 0

# Prints every quantity twice, from R and from exvivo, with the relative difference.
compare <- function(name, got, want, tolerance) {
  for (quantity in names(want)) {
    difference <- abs(got[[quantity]] - want[[quantity]]) / max(abs(want[[quantity]]), 1e-300)
    off <- !is.finite(difference) || difference > tolerance
    checked$n <- checked$n + 1
    checked$off <- checked$off + off
    cat(sprintf("%s\t%s\t%.10g\t%.10g\t%.1e\t%s\n", name, quantity, got[[quantity]], want[[quantity]], difference, if (off) "OFF" else "ok"))
  }
}

# Ratio, interval and p from a mean ln ratio with its standard error and degrees of freedom.
from_t <- function(estimate, se, df, level) {
  half <- qt((1 + level) / 2, df) * se
  c(ratio = exp(estimate), low = exp(estimate - half), high = exp(estimate + half), p = 2 * pt(-abs(estimate / se), df), df = df)
}

# Fixed effect number k of a mixed or a linear model: estimate, standard error, Kenward-Roger degrees of freedom.
kenward_roger <- function(fit, k) {
  if (inherits(fit, "lm")) return(c(estimate = coef(fit)[[k]], se = sqrt(vcov(fit)[k, k]), df = df.residual(fit)))
  L <- as.numeric(seq_along(lme4::fixef(fit)) == k)
  c(estimate = lme4::fixef(fit)[[k]], se = sqrt(as.matrix(pbkrtest::vcovAdj(fit))[k, k]), df = pbkrtest::get_Lb_ddf(fit, L))
}

# REML fit to the last digits, silent where a variance is zero.
fit_reml <- function(formula, data) {
  control <- lme4::lmerControl(
    optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE,
    check.conv.singular = lme4::.makeCC("ignore", 0), check.nobs.vs.nRE = "ignore"
  )
  suppressMessages(lme4::lmer(formula, data, REML = TRUE, control = control))
}

# p of all changes of sign of the sum of d: 2^(n - 1) sums, since the other half only mirrors them.
flip_signs <- function(d) {
  sums <- d[1]
  for (x in d[-1]) sums <- c(sums + x, sums - x)
  mean(abs(sums) >= abs(sum(d)) - 1e-10 * sum(abs(d)))
}

# Bivariate normal pairs known within limits (low = high: measured): maximum likelihood and profile interval. The likelihood ratio W is
# referred to t = sqrt((m - 1) (exp(W / m) - 1)) with m - 1 degrees of freedom, m the pairs with a measured value.
censored_pairs <- function(drug, comparator, level) {
  centre <- mean(c(drug, comparator)[is.finite(c(drug, comparator))])
  drug <- drug - centre
  comparator <- comparator - centre
  known_x <- comparator[, 1] == comparator[, 2]
  known_y <- drug[, 1] == drug[, 2]
  half_known <- function(a, b, r) {
    s <- sqrt(1 - r^2)
    upper <- (b[, 2] - r * a) / s
    lower <- (b[, 1] - r * a) / s
    flip <- lower > 0
    p <- ifelse(flip, pnorm(-lower) - pnorm(-upper), pnorm(upper) - pnorm(lower))
    sum(dnorm(a, log = TRUE) + log(pmax(p, 1e-300)))
  }
  minus_log_likelihood <- function(par) {
    r <- tanh(par[5])
    x <- (comparator - par[2]) / exp(par[3])
    y <- (drug - par[2] - par[1]) / exp(par[4])
    total <- -sum(known_x) * par[3] - sum(known_y) * par[4]
    both <- known_x & known_y
    total <- total + sum(dnorm(x[both, 1], log = TRUE) + dnorm((y[both, 1] - r * x[both, 1]) / sqrt(1 - r^2), log = TRUE) - log(1 - r^2) / 2)
    if (any(one <- known_x & !known_y)) total <- total + half_known(x[one, 1], y[one, , drop = FALSE], r)
    if (any(one <- !known_x & known_y)) total <- total + half_known(y[one, 1], x[one, , drop = FALSE], r)
    for (i in which(!known_x & !known_y)) {
      p <- mvtnorm::pmvnorm(c(x[i, 1], y[i, 1]), c(x[i, 2], y[i, 2]), corr = matrix(c(1, r, r, 1), 2), algorithm = mvtnorm::TVPACK(1e-14))
      total <- total + log(max(p, 1e-300))
    }
    -total
  }
  middle <- function(v) ifelse(is.infinite(v[, 1]), v[, 2], ifelse(is.infinite(v[, 2]), v[, 1], (v[, 1] + v[, 2]) / 2))
  x <- middle(comparator)
  y <- middle(drug)
  start <- c(mean(y - x), mean(x), log(sd(x)), log(sd(y)), atanh(max(-0.95, min(0.95, cor(x, y)))))
  settle <- function(par, fixed = NULL) {
    objective <- function(free) minus_log_likelihood(if (is.null(fixed)) free else c(fixed, free))
    par <- if (is.null(fixed)) par else par[-1]
    for (again in 1:3) par <- nlminb(par, objective, control = list(eval.max = 5000, iter.max = 2000, rel.tol = 1e-14, x.tol = 1e-12))$par
    list(par = if (is.null(fixed)) par else c(fixed, par), value = objective(par))
  }
  best <- settle(start)
  m <- sum(known_x | known_y)
  profile <- function(delta) {
    loosened <- replace(best$par, 5, best$par[5] / 2)
    2 * (min(settle(best$par, delta)$value, settle(loosened, delta)$value) - best$value)
  }
  cutoff <- m * log1p(qt((1 + level) / 2, m - 1)^2 / (m - 1))
  limit <- function(side) {
    step <- sd(y - x) / sqrt(m)
    while (profile(best$par[1] + side * step) < cutoff) step <- 2 * step
    uniroot(function(delta) profile(delta) - cutoff, best$par[1] + side * c(0, step), tol = 1e-10)$root
  }
  p <- 2 * pt(-sqrt((m - 1) * expm1(max(profile(0), 0) / m)), m - 1)
  c(ratio = exp(best$par[1]), low = exp(limit(-1)), high = exp(limit(1)), p = p, df = m - 1)
}
