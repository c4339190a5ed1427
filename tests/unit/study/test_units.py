"""Units as people write them; what is no mass per volume is refused, never guessed."""

import pytest

from exvivo.study.units import conversion_factor, parse_unit


@pytest.mark.parametrize(
    "text",
    [
        "pg/mL",
        "pg/ml",
        " PG / ML ",
        "pg\u00b7mL-1",
        "pg mL-1",
        "pg\u00a0mL\u207b\u00b9",
        "pg.ml^-1",
        "pg*mL**-1",
        "pg per ml",
        "pg\u22c5mL\u22121",
    ],
)
def test_picograms_per_millilitre_in_all_their_spellings(text: str) -> None:
    assert parse_unit(text) == "pg/mL"


@pytest.mark.parametrize("text", ["microg/ml", "\u00b5g/mL", "\u03bcg/mL", "mcg/ml", "ug/ml", "\u00b5g\u00b7mL\u207b\u00b9"])
def test_micrograms_in_all_their_spellings(text: str) -> None:
    assert (parse_unit(text), conversion_factor(text, "pg/mL")) == ("ug/mL", 1e6)


@pytest.mark.parametrize("text", ["IU/mL", "pg", "mL-1", "pg/mL/h", "pgmL", "pg-mL", "pg mL", "pg/mL-1", "g/kg", "pg^-1 mL"])
def test_other_units_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unknown unit"):
        parse_unit(text)
