"""Coding and naming of columns; figures from R 4.2.2 model.matrix, contr.poly and lmerTest."""

import numpy as np
import pytest

from exvivo.qualify.cases import Columns
from exvivo.qualify.designs import (
    Coding,
    Factor,
    build_design,
    build_random,
    drop_missing,
    evaluate,
    marginal_means,
    marginal_tests,
    polynomials,
    read_variable,
    sort_levels,
)
from exvivo.qualify.formulas import parse_formula

TABLE = Columns(
    {
        "y": ("1", "2", "4", "8", "16", "32"),
        "arm": ("vehicle", "drug", "vehicle", "drug", "vehicle", "drug"),
        "lab": ("x", "x", "y", "y", "z", "z"),
        "dose": ("0.1", "0.1", "1", "1", "10", "10"),
    }
)


def test_interaction_columns_are_named_as_in_r() -> None:
    design = build_design(parse_formula("y ~ lab * arm"), TABLE, ["armdrug", "laby", "labz"])
    assert design.names == ("(Intercept)", "laby", "labz", "armdrug", "laby:armdrug", "labz:armdrug")
    assert design.matrix[3].tolist() == [1, 1, 0, 1, 1, 0]


def test_names_tell_reference_and_coding() -> None:
    assert isinstance(read_variable("dose", TABLE, ("dose",)), np.ndarray)
    as_factor = read_variable("dose", TABLE, ("dose1", "dose10"))
    assert isinstance(as_factor, Factor)
    assert as_factor.levels == ("0.1", "1", "10")
    ordered = read_variable("dose", TABLE, ("dose.L", "dose.Q"))
    assert isinstance(ordered, Factor)
    assert ordered.coding is Coding.POLYNOMIAL
    turned = read_variable("lab", TABLE, ("labx", "laby"))
    assert isinstance(turned, Factor)
    assert turned.levels == ("z", "x", "y")


def test_reference_without_names_is_vehicle_or_the_first_letter() -> None:
    assert sort_levels(["drug", "vehicle", "drug"]) == ("vehicle", "drug")
    assert sort_levels(["b", "A", "none"]) == ("none", "A", "b")
    assert sort_levels(["10", "9", "2"]) == ("2", "9", "10")


def test_factor_without_its_margin_keeps_all_levels() -> None:
    assert build_design(parse_formula("y ~ 0 + lab + arm"), TABLE).names == ("labx", "laby", "labz", "armdrug")
    assert build_design(parse_formula("y ~ arm + lab:arm"), TABLE).names[2:] == (
        "armvehicle:laby",
        "armdrug:laby",
        "armvehicle:labz",
        "armdrug:labz",
    )


def test_polynomial_scores_are_those_of_contr_poly() -> None:
    np.testing.assert_allclose(polynomials(3), np.array([[-np.sqrt(3), 1], [0, -2], [np.sqrt(3), 1]]) / np.sqrt(6), atol=1e-12)
    design = build_design(parse_formula("y ~ dose"), TABLE, ["dose.L", "dose.Q"])
    assert design.names == ("(Intercept)", "dose.L", "dose.Q")


def test_type_three_rows_average_over_the_other_factor() -> None:
    design = build_design(parse_formula("y ~ arm * lab"), TABLE)
    rows = marginal_tests(design)
    np.testing.assert_allclose(rows["arm"], [[0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3]], atol=1e-12)
    np.testing.assert_allclose(rows["lab"], [[0.0, 0.0, 1.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0, 0.5]], atol=1e-12)
    np.testing.assert_allclose(rows["arm:lab"], np.eye(6)[4:], atol=1e-12)


def test_only_term_is_tested_in_sequence() -> None:
    rows = marginal_tests(build_design(parse_formula("y ~ lab"), TABLE))["lab"]
    np.testing.assert_allclose(rows, [[0.0, 1.0, -0.5], [0.0, 0.0, 1.0]], atol=1e-12)


def test_means_weigh_cells_equally_and_hold_covariates_at_their_mean() -> None:
    design = build_design(parse_formula("y ~ arm + lab + dose"), TABLE, ["armdrug", "laby", "labz", "dose"])
    cells, weights = marginal_means(design, ["arm"])
    assert cells == [("vehicle",), ("drug",)]
    np.testing.assert_allclose(weights, [[1.0, 0.0, 1 / 3, 1 / 3, 3.7], [1.0, 1.0, 1 / 3, 1 / 3, 3.7]])


def test_random_terms_are_named_as_in_lme4() -> None:
    formula = parse_formula("y ~ arm + (1 | lab) + (0 + dose | lab) + (dose | lab:arm)")
    terms = build_random(formula.random, TABLE, {})
    assert [term.group for term in terms] == ["lab", "lab.1", "lab:arm"]
    assert [term.factors for term in terms] == [("(Intercept)",), ("dose",), ("(Intercept)", "dose")]
    assert terms[1].loadings[0].sum(axis=0).tolist() == pytest.approx([0.2, 2, 20])


def test_expressions_of_columns() -> None:
    np.testing.assert_allclose(evaluate("log(y)", TABLE), np.log(2) * np.arange(6))
    np.testing.assert_allclose(evaluate("I(y^2/4) - 1", TABLE), np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]) ** 2 / 4 - 1)
    assert evaluate("-sqrt(y)", TABLE)[2] == -2
    with pytest.raises(ValueError, match="not known"):
        evaluate("gamma(y)", TABLE)


def test_rows_with_gaps_are_left_out() -> None:
    table = Columns({"y": ("1", "NA", "3"), "g": ("a", "b", ""), "unused": ("", "", "")})
    assert drop_missing(table, ["y", "g"]).labels("y") == ("1",)


def test_polynomials_of_values_are_those_of_poly() -> None:
    design = build_design(parse_formula("y ~ poly(y, 2)"), TABLE)
    assert design.names == ("(Intercept)", "poly(y, 2)1", "poly(y, 2)2")
    second = [0.38957073515, 0.25377950220, 0.00948327805, -0.36996420323, -0.69227929773, 0.40940998556]
    np.testing.assert_allclose(design.matrix[:, 2], second, atol=1e-10)
    with pytest.raises(TypeError, match=r"poly\(y, 2\)"):
        marginal_means(build_design(parse_formula("y ~ arm * poly(y, 2)"), TABLE), ["arm"])


def test_slopes_within_a_factor_leave_its_reference_alone() -> None:
    names = ["(Intercept)", "labz", "labx", "laby:dose", "labz:dose", "labx:dose"]
    assert build_design(parse_formula("y ~ lab / dose"), TABLE, names).names == tuple(names)


@pytest.mark.parametrize("expression", ["poly(dose, 2, raw = TRUE)", "scale(dose, scale = FALSE)", "cut(dose, 2)"])
def test_what_is_not_known_is_refused_as_it_was_written(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\(dose, .*\)' is not known in model formulas"):
        build_design(parse_formula(f"y ~ {expression}"), TABLE)
