import numpy as np
import pytest

from exvivo.qualify.cases import Case, Columns
from exvivo.qualify.designs import build_design
from exvivo.qualify.fits import fit_formula
from exvivo.qualify.formulas import parse_formula
from exvivo.qualify.procedures.contrasts import PROCEDURES
from exvivo.qualify.tables import contrast_weights, pair_up

TABLE = Columns(
    {
        "y": ("3", "1", "4", "1", "5", "9", "2", "6"),
        "arm": ("vehicle", "drug") * 4,
        "ild": ("no", "no", "yes", "yes") * 2,
        "donor": ("a", "a", "b", "b", "c", "c", "d", "e"),
    }
)
DESIGN = build_design(parse_formula("y ~ arm * ild"), TABLE)


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        ({"contrast": "drug - vehicle", "ild": "no"}, [0, 1, 0, 0]),
        ({"contrast": "drug - vehicle", "ild": "yes"}, [0, 1, 0, 1]),
        ({"contrast": "(drug) - vehicle"}, [0, 1, 0, 0.5]),
        ({"contrast": "yes - no", "arm": "drug"}, [0, 0, 1, 1]),
        ({"arm_revpairwise": "drug - vehicle", "ild_revpairwise": "yes - no"}, [0, 0, 0, 1]),
        ({"contrast": "ildyes - ildno"}, [0, 0, 1, 0.5]),
    ],
)
def test_labels_become_weights(labels: dict[str, str], weights: list[float]) -> None:
    np.testing.assert_allclose(contrast_weights(DESIGN, labels), weights, atol=1e-12)


def test_label_that_no_factor_has_is_refused() -> None:
    with pytest.raises(ValueError, match="'x - y' compares levels"):
        contrast_weights(DESIGN, {"contrast": "x - y"})


def test_pairs_are_donors_with_both_levels() -> None:
    case = Case("c08_x", (TABLE,), {"formula": "log(y) ~ arm * ild + (1 | donor)"}, {}, optional=False)
    name, pairs = pair_up(fit_formula(case, case.results), "donor")
    assert name == "arm"
    np.testing.assert_allclose(pairs.differences, np.log([1 / 3, 1 / 4, 9 / 5]))


def test_linear_model_without_a_formula_takes_numbers_as_levels() -> None:
    """Two lines of groups whose labels are numbers; the case names only the contrasts."""
    table = Columns({"group": ("1", "1", "2", "2", "3", "3"), "value": ("1.1", "0.9", "2.05", "1.95", "4.2", "3.8")})
    case = Case("c27_x", (table,), {"names": ["2 - 1", "3 - 1"], "df": 3}, {}, optional=False)
    found = PROCEDURES["c27"](case)
    np.testing.assert_allclose(found["estimate"], [1.0, 3.0])


def test_variable_that_nothing_explains_is_refused() -> None:
    case = Case("c10_x", (TABLE,), {"formula": "y ~ arm * m10 + (1 | donor)"}, {}, optional=False)
    with pytest.raises(ValueError, match="'m10', which the table lacks"):
        fit_formula(case, case.results)
