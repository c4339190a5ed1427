"""The named peers of the immunoassay benchmarks, each behind one function of the same shape; absent ones are told, not needed.

``fit_*`` take log concentrations and signals of one plate's standards and signals of its unknowns, and give log
concentrations (and standard errors where the peer has them); NaN where the peer gives no concentration.
"""

import math
import shutil
import subprocess
import tempfile
import warnings
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import t

Array = npt.NDArray[np.float64]

ROWS = "ABCDEFGH"


def installed(module: str, package: str) -> str | None:
    """Version of a peer, None where it is not installed."""
    return metadata.version(package) if util.find_spec(module) else None


def logistic(conc: Array, a: float, b: float, c: float, d: float) -> Array:
    """The curve as its users write it."""
    return d + (a - d) / (1 + (conc / c) ** b)


def naive_start(conc: Array, signal: Array) -> list[float]:
    """What a tutorial tells: the means at the ends, slope 1, the middle of the standards."""
    return [
        float(signal[conc == conc.min()].mean()),
        1.0,
        float(np.exp(np.mean(np.log(conc[conc > 0])))),
        float(signal[conc == conc.max()].mean()),
    ]


def fit_scipy(conc: Array, signal: Array, start: list[float] | None = None) -> tuple[Array, Array]:
    """Parameters and covariance by ``scipy.optimize.curve_fit``, unweighted."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        found, covariance = curve_fit(logistic, conc, signal, p0=naive_start(conc, signal) if start is None else start, maxfev=5000)
    return np.asarray(found), np.asarray(covariance)


def invert_scipy(found: Array, covariance: Array, mean: Array, reading_variance: float) -> tuple[Array, Array]:
    """Log concentrations and delta-method standard errors, curve and reading."""
    a, b, c, d = found
    with np.errstate(all="ignore"):
        odds = (mean - a) / (d - mean)
        log_conc = math.log(abs(c)) + np.log(odds) / b
        gradient = np.stack([-1 / (b * (mean - a)), -np.log(odds) / b**2, np.full_like(mean, 1 / c), -1 / (b * (d - mean))], axis=-1)
        reading = (d - a) / (b * (mean - a) * (d - mean))
        variance = np.einsum("ni,ij,nj->n", gradient, covariance, gradient) + reading_variance * reading**2
        return log_conc, np.sqrt(variance)


def interval_scipy(conc: Array, signal: Array, unknowns: Array) -> tuple[Array, Array]:
    """Log concentrations and half-widths of 95 % intervals of unknowns (n, replicates)."""
    try:
        found, covariance = fit_scipy(conc, signal)
    except RuntimeError:
        return np.full((2, len(unknowns)), np.nan)[0], np.full(len(unknowns), np.nan)
    df = conc.size - 4
    scatter = float(np.sum((signal - logistic(conc, *found)) ** 2)) / df
    log_conc, error = invert_scipy(found, covariance, unknowns.mean(axis=1), scatter / unknowns.shape[1])
    return log_conc, t.ppf(0.975, df) * error


def fit_biocurvefit(conc: Array, signal: Array, unknowns: Array) -> tuple[Array, Array]:
    """Parameters and log concentrations by bio-curve-fit, unweighted."""
    from bio_curve_fit.logistic import FourParamLogistic  # noqa: PLC0415 - optional

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model: Any = FourParamLogistic().fit(conc, signal)
        found = np.asarray(model.predict_inverse(unknowns), dtype=np.float64)
        return np.array([model.A, model.B, model.C, model.D]), np.where(found > 0, np.log(np.where(found > 0, found, 1.0)), np.nan)


def fit_lmfit(conc: Array, signal: Array, start: list[float]) -> Array:
    """Parameters by lmfit, unweighted; NaN where it gives up."""
    from lmfit import Model  # noqa: PLC0415 - optional

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model: Any = Model(logistic)
        try:
            values = model.fit(signal, conc=conc, **dict(zip("abcd", start, strict=True))).best_values
        except ValueError:  # it stops where a step leaves the model's domain
            return np.full(4, np.nan)
    return np.array([values[name] for name in "abcd"])


def well_names(count: int) -> list[str]:
    """The first wells of a plate of 96, row by row."""
    return [f"{ROWS[i // 12]}{i % 12 + 1}" for i in range(count)]


def standards_option(conc: Array) -> str:
    """Standards as openreadout wants them told."""
    return ";".join(f"{well}={value:.10g}" for well, value in zip(well_names(conc.size), conc, strict=True))


def write_grid(path: Path, signals: Array) -> None:
    """A plate of 96 as a grid, empty cells after the signals."""
    cells = [f"{value:.6f}" for value in signals] + [""] * (96 - signals.size)
    lines = [",".join(["", *map(str, range(1, 13))]), *(f"{ROWS[i]}," + ",".join(cells[12 * i : 12 * i + 12]) for i in range(8))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def analyse_grid(path: Path, standards: str, first: int, count: int) -> tuple[Array, Array]:
    """Parameters and log concentrations of ``count`` wells from the well ``first`` on, by openreadout, file read included."""
    import openreadout  # noqa: PLC0415 - optional

    found = openreadout.analyze(str(path), "assay", analysis="curve", standards=standards, model="4pl")
    by_well = {well["well"]: well.get("back_calculated") for well in found["wells"]}
    values = np.array([by_well.get(name) or math.nan for name in well_names(first + count)[first:]], dtype=np.float64)
    return parameters_of(found), np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), np.nan)


def parameters_of(found: dict[str, Any]) -> Array:
    """(a, b, c, d) of openreadout's curve, by their names."""
    named = {part["name"]: part["value"] for part in found["curve"]["fit"]["parameters"]}
    return np.array([named[name] for name in "abcd"])


def fit_openreadout(conc: Array, signal: Array, unknowns: Array) -> tuple[Array, Array]:
    """Parameters and log concentrations by openreadout, through a grid in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plate.csv"
        write_grid(path, np.concatenate([signal, unknowns]))
        return analyse_grid(path, standards_option(conc), conc.size, unknowns.size)


DRC = r"""
suppressMessages(library(drc))
given <- commandArgs(TRUE)
wells <- read.csv(given[1])
began <- sum(proc.time()[1:2])
for (plate in split(wells, wells$plate)) {
  standards <- plate[plate$role == "standard", ]
  fit <- drm(signal ~ conc, data = standards, fct = LL.4())
  invisible(ED(fit, plate$signal[plate$role == "unknown"], type = "absolute", interval = "none", display = FALSE))
  cat(plate$plate[1], coef(fit), "\n")
}
cat("seconds", sum(proc.time()[1:2]) - began, "\n")
"""


def drc_version() -> str | None:
    """Version of drc in R, None where either is missing."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    asked = subprocess.run([rscript, "-e", 'cat(as.character(packageVersion("drc")))'], capture_output=True, text=True, check=False)  # noqa: S603
    return asked.stdout.strip() if asked.returncode == 0 else None


def fit_drc(conc: Array, signals: Array, unknowns: Array) -> tuple[float, Array]:
    """Processor seconds and parameters (plates, 4) as (a, b, c, d) of plates by drc LL.4 from its own starts, unknowns by ED."""
    lines = ["plate,role,conc,signal"]
    for number, (signal, unknown) in enumerate(zip(signals, unknowns, strict=True)):
        lines += [f"{number},standard,{x!r},{y!r}" for x, y in zip(conc.tolist(), signal.tolist(), strict=True)]
        lines += [f"{number},unknown,0,{y!r}" for y in unknown.tolist()]
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "wells.csv", Path(folder) / "fit.R"
        data.write_text("\n".join(lines) + "\n", encoding="utf-8")
        script.write_text(DRC, encoding="utf-8")
        rscript = shutil.which("Rscript") or "Rscript"
        told = subprocess.run([rscript, str(script), str(data)], capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S603
    rows = {int(words[0]): [float(word) for word in words[1:]] for words in map(str.split, told[:-1])}
    b, low, high, middle = np.array([rows[number] for number in range(len(signals))]).T
    return float(told[-1].split()[1]), np.stack([low, -b, middle, high], axis=1)
