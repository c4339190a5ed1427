"""A formula and a table -> response, design matrix and random terms, coded and named as R does.

Columns become numbers or factors as the wanted coefficient names tell: ``dosed1`` says that ``dose`` is a factor with
treatment coding and that ``d1`` is not its reference, ``temp.L`` that it is ordered with polynomial coding, ``Days`` that
it is a number. Where no name tells, text is a factor whose reference is vehicle or none, else its first level.
"""

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import cast

import numpy as np

from exvivo.numerics.inference import Array
from exvivo.numerics.mixed import Correlated, indicate
from exvivo.qualify.cases import Columns
from exvivo.qualify.formulas import Formula, RandomPart, Term

INTERCEPT = "(Intercept)"
_REFERENCES = ("vehicle", "none", "control", "ctrl")
_POLYNOMIAL = (".L", ".Q", ".C")


class Coding(StrEnum):
    """How a factor becomes columns."""

    TREATMENT = "treatment"
    POLYNOMIAL = "polynomial"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Factor:
    """A column of labels with its levels in order, the reference first."""

    labels: tuple[str, ...]
    levels: tuple[str, ...]
    coding: Coding = Coding.TREATMENT


Variable = Array | Factor


@dataclass(frozen=True, slots=True)
class Design:
    """Fixed part of a model on a table.

    Attributes
    ----------
    matrix : shape (n, p)
    names : of the coefficients, as R prints them
    assigned : for each column the term it belongs to, the empty term for the intercept
    terms : in R's order
    intercept : whether there is one
    variables : columns by the expression that the formula uses
    """

    matrix: Array
    names: tuple[str, ...]
    assigned: tuple[Term, ...]
    terms: tuple[Term, ...]
    intercept: bool
    variables: Mapping[str, Variable]


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """A random term on a table: the name of its group and of each factor, its matrices, and the levels of its group."""

    group: str
    factors: tuple[str, ...]
    loadings: tuple[Array, ...]
    levels: tuple[str, ...]

    @property
    def component(self) -> Array | Correlated:
        """As `fit_mixed` takes it."""
        return self.loadings[0] if len(self.loadings) == 1 else Correlated(self.loadings)


def build_design(formula: Formula, table: Columns, wanted: Iterable[str] = ()) -> Design:
    """Fixed part of a formula on a table.

    Parameters
    ----------
    formula, table : what is modelled, and where its columns are
    wanted : coefficient names that tell which columns are factors, and their references
    """
    used = dict.fromkeys(name for term in formula.terms for name in term)
    names = tuple(wanted)
    variables = {name: read_variable(name, table, _telling(name, names)) for name in used}
    return code_terms(formula.terms, variables, intercept=formula.intercept, rows=len(table.labels(table.names[0])))


def _telling(name: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """What coefficient names tell about a column: those in which it stands alone, else every part of a product."""
    alone = tuple(own for own in wanted if ":" not in own and own.startswith(name))
    return alone or tuple(dict.fromkeys(piece for own in wanted for piece in own.split(":")))


def code_terms(terms: Sequence[Term], variables: Mapping[str, Variable], *, intercept: bool, rows: int) -> Design:
    """Columns of terms; a factor whose margin is not in the model keeps all its levels."""
    blocks, names, assigned = [np.ones((rows, 1))] * intercept, [INTERCEPT] * intercept, [cast("Term", ())] * intercept
    present = list(assigned)
    for term in terms:
        coded = [_code(name, variables[name], full=_is_full(term, name, present)) for name in term]
        for combination in product(*(range(len(labels)) for _, labels in reversed(coded))):
            chosen = list(zip(coded, reversed(combination), strict=True))
            blocks.append(np.prod([matrix[:, k] for (matrix, _), k in chosen], axis=0)[:, None])
            names.append(":".join(labels[k] for (_, labels), k in chosen))
            assigned.append(term)
        spans = len(term) == 1 and isinstance(variables[term[0]], Factor)
        present += [term, ()] if spans else [term]
    matrix = np.hstack(blocks) if blocks else np.zeros((rows, 0))
    return Design(matrix, tuple(names), tuple(assigned), tuple(terms), intercept, MappingProxyType(dict(variables)))


def _is_full(term: Term, name: str, present: Sequence[Term]) -> bool:
    margin = {other for other in term if other != name}
    return not any(margin == set(other) for other in present)


def build_random(parts: Sequence[RandomPart], table: Columns, variables: Mapping[str, Variable]) -> tuple[RandomTerm, ...]:
    """Random terms of a formula, named as lme4 names them; a second term of a group is ``group.1``."""
    found: list[RandomTerm] = []
    seen: dict[str, int] = {}
    for part in parts:
        columns = [table.labels(name) for name in part.group]
        labels = [":".join(cells) for cells in zip(*columns, strict=True)]
        own = {name: variables[name] if name in variables else read_variable(name, table, ()) for term in part.terms for name in term}
        design = code_terms(part.terms, own, intercept=part.intercept, rows=len(labels))
        name = ":".join(part.group)
        repeat = seen.get(name, 0)
        seen[name] = repeat + 1
        loadings = tuple(indicate(labels, where=column) for column in design.matrix.T)
        found.append(RandomTerm(f"{name}.{repeat}" if repeat else name, design.names, loadings, tuple(sorted(set(labels)))))
    return tuple(found)


def marginal_tests(design: Design) -> dict[str, Array]:
    """Type III hypotheses: for each term the contrasts of coefficients that are zero under it.

    Cells of factors have equal weight and covariates are zero: the hypotheses of coefficients under sum-to-zero coding. The
    joint Satterthwaite test depends on the rows that are chosen for a hypothesis, so they are lmerTest's: one for each
    treatment coefficient of the term, or sequential ones where there is one term only.
    """
    if len(design.terms) == 1:
        upper = np.linalg.cholesky(design.matrix.T @ design.matrix).T
        rows = upper / np.diag(upper)[:, None]
        return {":".join(term): rows[[own == term for own in design.assigned]] for term in design.terms}
    treated, balanced = _recode(design, Coding.TREATMENT), _recode(design, Coding.SUM)
    back = np.linalg.inv(np.linalg.lstsq(treated.matrix, balanced.matrix)[0])
    onward = np.linalg.lstsq(treated.matrix, design.matrix)[0]
    return {":".join(term): _unit_rows(back, treated, balanced, term) @ onward for term in design.terms}


def _recode(design: Design, coding: Coding) -> Design:
    variables = {name: Factor(own.labels, own.levels, coding) if isinstance(own, Factor) else own for name, own in design.variables.items()}
    return code_terms(design.terms, variables, intercept=design.intercept, rows=len(design.matrix))


def _unit_rows(back: Array, treated: Design, balanced: Design, term: Term) -> Array:
    rows = back[[own == term for own in balanced.assigned]]
    square = rows[:, [own == term for own in treated.assigned]]
    return np.asarray(np.linalg.solve(square, rows) if square.shape[0] == square.shape[1] else rows, dtype=np.float64)


def marginal_means(design: Design, over: Sequence[str]) -> tuple[list[tuple[str, ...]], Array]:
    """Combinations of levels of some factors, and the weights of their means: other factors equally, covariates at their mean."""
    factors = [name for name, own in design.variables.items() if isinstance(own, Factor)]
    grid = list(product(*(_levels(design, name) for name in factors)))
    variables: dict[str, Variable] = {}
    for name, own in design.variables.items():
        if isinstance(own, Factor):
            variables[name] = Factor(tuple(cell[factors.index(name)] for cell in grid), own.levels, own.coding)
        elif own.ndim > 1:
            raise TypeError(f"means at the mean of '{name}' are not known")
        else:
            variables[name] = np.full(len(grid), float(own.mean()))
    rows = code_terms(design.terms, variables, intercept=design.intercept, rows=len(grid)).matrix
    wanted = list(product(*(_levels(design, name) for name in over)))
    places = [factors.index(name) for name in over]
    return wanted, np.array([rows[[tuple(cell[k] for k in places) == own for cell in grid]].mean(axis=0) for own in wanted])


def _levels(design: Design, name: str) -> tuple[str, ...]:
    own = design.variables[name]
    if not isinstance(own, Factor):
        raise TypeError(f"'{name}' is a number, not a factor")
    return own.levels


def read_variable(expression: str, table: Columns, pieces: Sequence[str]) -> Variable:
    """A column, or an expression of columns, as numbers or as a factor."""
    if expression not in table.names:
        if inner := re.fullmatch(r"(?:as\.)?(?:factor|ordered)\((.+)\)", expression):
            return _factor(expression, table.labels(inner.group(1)), pieces)
        if powers := re.fullmatch(r"poly\((.+), (\d+)\)", expression):
            return _orthogonal(evaluate(powers.group(1), table), int(powers.group(2)))
        return evaluate(expression, table)
    if table.numeric(expression) and not _split_by_names(expression, pieces):
        return table.numbers(expression)
    return _factor(expression, table.labels(expression), pieces)


def _split_by_names(name: str, pieces: Sequence[str]) -> bool:
    return name not in pieces and any(piece.startswith(name) for piece in pieces)


def _factor(name: str, labels: tuple[str, ...], pieces: Sequence[str]) -> Factor:
    levels = sort_levels(labels)
    if f"{name}.L" in pieces and "L" not in levels:
        return Factor(labels, levels, Coding.POLYNOMIAL)
    named = [piece[len(name) :] for piece in pieces if piece.startswith(name)]
    known = [level for text in named for level in levels if _same(level, text)]
    rest = [level for level in levels if level not in known]
    return Factor(labels, (*rest, *known) if known else levels)


def _same(level: str, text: str) -> bool:
    if level == text:
        return True
    try:
        return float(level) == float(text)
    except ValueError:
        return False


def sort_levels(labels: Sequence[str]) -> tuple[str, ...]:
    """Levels as R sorts them, numbers by size and text by letter, but vehicle, none and controls first."""
    found = set(labels)
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        ordered = sorted(found, key=lambda level: (level.lower() not in _REFERENCES, level.lower(), level))
        return tuple(ordered)


def _code(name: str, own: Variable, *, full: bool) -> tuple[Array, tuple[str, ...]]:
    if not isinstance(own, Factor):
        return (own[:, None], (name,)) if own.ndim == 1 else (own, tuple(f"{name}{k + 1}" for k in range(own.shape[1])))
    dummies = np.array([[label == level for level in own.levels] for label in own.labels], dtype=np.float64)
    if full:
        return dummies, tuple(f"{name}{level}" for level in own.levels)
    if own.coding is Coding.SUM:
        return dummies[:, :-1] - dummies[:, -1:], tuple(f"{name}{k + 1}" for k in range(len(own.levels) - 1))
    if own.coding is Coding.POLYNOMIAL:
        scores = polynomials(len(own.levels))
        suffixes = [*_POLYNOMIAL, *(f"^{k}" for k in range(4, len(own.levels)))]
        return dummies @ scores, tuple(f"{name}{suffix}" for suffix in suffixes[: scores.shape[1]])
    return dummies[:, 1:], tuple(f"{name}{level}" for level in own.levels[1:])


def polynomials(levels: int) -> Array:
    """Orthonormal polynomial scores of equally spaced levels, shape (levels, levels - 1), as R's contr.poly."""
    return _orthogonal(np.arange(levels, dtype=np.float64), levels - 1)


def _orthogonal(values: Array, degree: int) -> Array:
    """Orthonormal polynomials of values, shape (n, degree), as R's poly."""
    Q, R = np.linalg.qr(np.vander(values - values.mean(), degree + 1, increasing=True))
    return np.asarray(Q[:, 1:] * np.sign(np.diag(R))[1:], dtype=np.float64)


_FUNCTIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "log": np.log,
        "log2": np.log2,
        "log10": np.log10,
        "log1p": np.log1p,
        "exp": np.exp,
        "sqrt": np.sqrt,
        "I": lambda values: values,
        "scale": lambda values: (values - values.mean()) / values.std(ddof=1),
    }
)


def evaluate(expression: str, table: Columns) -> Array:
    """Numbers that an expression of columns gives, such as ``log(y)`` or ``I(x/10)``.

    Raises
    ------
    KeyError : it uses a column that the table lacks
    ValueError : it uses a function that is not known
    """
    names = {f"v{k}_": name for k, name in enumerate(table.names)}
    text = expression.replace("^", "**")
    for key, name in sorted(names.items(), key=lambda item: -len(item[1])):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.(])", key, text)
    rows = len(table.labels(table.names[0]))
    return np.broadcast_to(_value(ast.parse(text, mode="eval").body, names, table), rows).astype(np.float64)


def _value(tree: ast.expr, names: Mapping[str, str], table: Columns) -> Array:
    match tree:
        case ast.Name(id=key):
            return table.numbers(names[key])
        case ast.Constant(value=int() | float() as number):
            return np.asarray(float(number))
        case ast.Call(func=ast.Name(id=function), args=[argument], keywords=[]) if function in _FUNCTIONS:
            return _FUNCTIONS[function](_value(argument, names, table))
        case ast.BinOp() if type(tree.op) in _ARITHMETIC:
            return _ARITHMETIC[type(tree.op)](_value(tree.left, names, table), _value(tree.right, names, table))
        case ast.UnaryOp(op=ast.USub()):
            return -_value(tree.operand, names, table)
    written = re.sub(r"\bv\d+_", lambda key: names.get(key[0], key[0]), ast.unparse(tree))
    raise ValueError(f"'{written}' is not known in model formulas")


_ARITHMETIC: Mapping[type[ast.operator], Callable[[Array, Array], Array]] = MappingProxyType(
    {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.divide, ast.Pow: np.power}
)


def drop_missing(table: Columns, names: Iterable[str]) -> Columns:
    """Rows in which every named column has a value."""
    used = [table.labels(name) for name in names if name in table.names]
    kept = [k for k in range(len(table.labels(table.names[0]))) if all(cells[k] not in ("", "NA") for cells in used)]
    return Columns({name: tuple(table.labels(name)[k] for k in kept) for name in table.names})
