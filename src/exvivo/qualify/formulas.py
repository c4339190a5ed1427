"""Model formulas as R writes them -> response, terms of the fixed part, random terms.

In: text such as ``log(y) ~ cond * ild + (1 | donor) + (Days | Subject)``. Out: names only, no data. The operators keep
their meaning and rank in R; Python's own grammar reads them after ``:`` has become ``**``, which binds in the same way.
"""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Term = tuple[str, ...]

_TOKEN = re.compile(r"`[^`]+`|[A-Za-z.][\w.]*|\d+\.?\d*|\|\||\*\*|%in%|[-+*/:^()|~,]|\s+|.")
_SPACED = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: " * ", ast.Div: "/", ast.Pow: "^", ast.BitXor: "^"}


@dataclass(frozen=True, slots=True)
class RandomPart:
    """``(terms | group)``: what varies over the levels of a group, which is crossed of one or more columns."""

    intercept: bool
    terms: tuple[Term, ...]
    group: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """A model formula.

    Attributes
    ----------
    response : expression on the left, as R prints it
    intercept : whether the fixed part has one
    terms : fixed terms in R's order, by degree; each the expressions that are multiplied
    random : random terms in the order written
    """

    response: str
    intercept: bool
    terms: tuple[Term, ...]
    random: tuple[RandomPart, ...]


def parse_formula(text: str) -> Formula:
    """Formula from R's notation.

    Raises
    ------
    ValueError : the text is no formula, or uses an operator that is not known here

    Examples
    --------
    >>> parse_formula("log(y) ~ a * b + (1 | g)").terms
    (('a',), ('b',), ('a', 'b'))
    """
    left, tilde, right = text.partition("~")
    if not tilde:
        raise ValueError(f"'{text}' has no ~")
    names, tree = _read(right)
    parts, random = _split_random(tree, names)
    found = _expand(parts, names)
    own_names, own = _read(left)
    return Formula(
        response=_print(own, own_names),
        intercept=() in found,
        terms=_by_degree(found),
        random=tuple(part for bar in random for part in _read_bar(bar, names)),
    )


def _read(text: str) -> tuple[dict[str, str], ast.expr]:
    """Python's tree of an expression whose names are put aside."""
    names: dict[str, str] = {}
    written = []
    for token in _TOKEN.findall(text.strip()):
        if re.match(r"[A-Za-z.`]", token):
            key = f"v{len(names)}_"
            names[key] = token.strip("`")
            written.append(key)
        else:
            written.append({":": "**", "^": "@", "||": "| 0 |"}.get(token, " " if token.isspace() else token))
    try:
        return names, ast.parse("".join(written).strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"'{text.strip()}' is no model formula") from error


def _split_random(tree: ast.expr, names: dict[str, str]) -> tuple[list[tuple[ast.operator, ast.expr]], list[ast.BinOp]]:
    """Summands of the fixed part with their signs, and the bars."""
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        parts, random = _split_random(tree.left, names)
        more, bars = _split_random(tree.right, names)
        return parts + [(tree.op, part) for _, part in more], random + bars
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return [(ast.Sub(), tree.operand)], []
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        return [], [tree]
    return [(ast.Add(), tree)], []


def _expand(parts: Iterable[tuple[ast.operator, ast.expr]], names: dict[str, str]) -> list[Term]:
    """Terms of a sum; the intercept is the empty term."""
    found: list[Term] = [()]
    for sign, part in parts:
        zero = isinstance(part, ast.Constant) and part.value == 0
        terms = [()] if zero else _terms(part, names)
        if zero != isinstance(sign, ast.Sub):
            found = [term for term in found if not _among(term, terms)]
        else:
            found += [term for term in terms if not _among(term, found)]
    return found


def _terms(tree: ast.expr, names: dict[str, str]) -> list[Term]:
    if isinstance(tree, ast.Constant) and tree.value == 1:
        return [()]
    if not isinstance(tree, ast.BinOp):
        return [(_print(tree, names),)]
    left, right = _terms(tree.left, names), _terms(tree.right, names)
    rule = _RULES.get(type(tree.op))
    if rule is None:
        raise ValueError(f"operator {type(tree.op).__name__} is not known in model formulas")
    return rule(left, right)


def _crossed(left: Sequence[Term], right: Sequence[Term]) -> list[Term]:
    return _united([tuple(dict.fromkeys((*a, *b))) for a in left for b in right])


def _united(*lists: Sequence[Term]) -> list[Term]:
    found: list[Term] = []
    for term in (term for terms in lists for term in terms):
        if not _among(term, found):
            found.append(term)
    return found


def _among(term: Term, terms: Sequence[Term]) -> bool:
    return any(set(term) == set(other) for other in terms)


def _nested(left: Sequence[Term], right: Sequence[Term]) -> list[Term]:
    whole = tuple(dict.fromkeys(name for term in left for name in term))
    return _united(left, _crossed([whole], right))


def _powers(terms: Sequence[Term], degree: Sequence[Term]) -> list[Term]:
    chosen = [group for size in range(1, int(degree[0][0]) + 1) for group in combinations(terms, size)]
    return _united([tuple(dict.fromkeys(name for term in group for name in term)) for group in chosen])


_RULES: dict[type[ast.operator], Callable[[Sequence[Term], Sequence[Term]], list[Term]]] = {
    ast.Add: _united,
    ast.Mult: lambda left, right: _united(left, right, _crossed(left, right)),
    ast.Pow: _crossed,
    ast.Div: _nested,
    ast.MatMult: _powers,
}


def _by_degree(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Terms in R's order; within a term, factors in the order in which the formula first names them."""
    first = list(dict.fromkeys(name for term in terms for name in term))
    return tuple(sorted((tuple(sorted(term, key=first.index)) for term in terms if term), key=len))


def _read_bar(bar: ast.BinOp, names: dict[str, str]) -> list[RandomPart]:
    """One random term, or several where groups are nested or the bar is double."""
    inner, apart = bar.left, False
    if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.BitOr):
        inner, apart = inner.left, True
    found = _expand(_split_random(inner, names)[0], names)
    groups = [group[::-1] if "/" in _operators(bar.right) else group for group in _terms(bar.right, names)]
    terms = _by_degree(found)
    shares = [(() in found, ()), *((False, (term,)) for term in terms)] if apart else [(() in found, terms)]
    return [RandomPart(intercept, own, group) for group in reversed(groups) for intercept, own in shares if intercept or own]


def _operators(tree: ast.expr) -> str:
    return "".join("/" for node in ast.walk(tree) if isinstance(node, ast.Div))


def _print(tree: ast.expr, names: dict[str, str]) -> str:
    """An expression as R prints it."""
    match tree:
        case ast.Name():
            return names.get(tree.id, tree.id)
        case ast.Constant():
            return str(tree.value)
        case ast.Call():
            named = [f"{names.get(own.arg or '', own.arg)} = {_print(own.value, names)}" for own in tree.keywords]
            given = [_print(argument, names) for argument in tree.args]
            return f"{_print(tree.func, names)}({', '.join([*given, *named])})"
        case ast.UnaryOp(op=ast.USub()):
            return f"-{_print(tree.operand, names)}"
        case ast.BinOp():
            sign = "^" if isinstance(tree.op, ast.MatMult) else _SPACED.get(type(tree.op), ":")
            return f"{_grouped(tree.left, names)}{sign}{_grouped(tree.right, names)}"
    written = re.sub(r"\bv\d+_", lambda key: names.get(key[0], key[0]), ast.unparse(tree))
    raise ValueError(f"'{written}' is not known in model formulas")


def _grouped(tree: ast.expr, names: dict[str, str]) -> str:
    text = _print(tree, names)
    return f"({text})" if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub) else text
