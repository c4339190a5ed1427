import pytest

from exvivo.qualify.formulas import RandomPart, parse_formula


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("y ~ a * b", (("a",), ("b",), ("a", "b"))),
        ("y ~ b:a + a", (("a",), ("b", "a"))),
        ("y ~ a / b", (("a",), ("a", "b"))),
        ("y ~ (a + b + c)^2 - a:b", (("a",), ("b",), ("c",), ("a", "c"), ("b", "c"))),
        ("y ~ a*b*c - a:b:c", (("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"))),
        ("y ~ a + a:b + b + b:a", (("a",), ("b",), ("a", "b"))),
        ("y ~ log(x + 1) + I(z/10)", (("log(x + 1)",), ("I(z/10)",))),
        ("y ~ `my dose` + my.other_1", (("my dose",), ("my.other_1",))),
        ("y ~ 1", ()),
    ],
)
def test_fixed_terms_are_those_of_r(text: str, terms: tuple[tuple[str, ...], ...]) -> None:
    found = parse_formula(text)
    assert found.terms == terms
    assert found.intercept


@pytest.mark.parametrize("text", ["y ~ 0 + a", "y ~ a - 1", "y ~ a + 0"])
def test_intercept_can_be_left_out(text: str) -> None:
    found = parse_formula(text)
    assert not found.intercept
    assert found.terms == (("a",),)


@pytest.mark.parametrize(
    ("bar", "parts"),
    [
        ("(1 | g)", [RandomPart(True, (), ("g",))]),
        ("(1|g:h)", [RandomPart(True, (), ("g", "h"))]),
        ("(1 | g/h)", [RandomPart(True, (), ("h", "g")), RandomPart(True, (), ("g",))]),
        ("(0 + x | g)", [RandomPart(False, (("x",),), ("g",))]),
        ("(x | g)", [RandomPart(True, (("x",),), ("g",))]),
        ("(x || g)", [RandomPart(True, (), ("g",)), RandomPart(False, (("x",),), ("g",))]),
        ("(1 + a * x | g)", [RandomPart(True, (("a",), ("x",), ("a", "x")), ("g",))]),
    ],
)
def test_random_terms_are_those_of_lme4(bar: str, parts: list[RandomPart]) -> None:
    found = parse_formula(f"log(y) ~ a + {bar}")
    assert list(found.random) == parts
    assert found.response == "log(y)"


@pytest.mark.parametrize("text", ["y + x", "y ~ a +", "y ~ a ? b", "y ~ a % b", "y ~ I(a > 2)", "y ~ a %in% b"])
def test_what_is_no_formula_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_formula(text)
