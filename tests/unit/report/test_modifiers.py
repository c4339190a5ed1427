"""The section on modifiers: forest rows, precision, associations, credibility sheets."""

import dataclasses
import json
import math

import numpy as np
import polars as pl
import pytest

from exvivo.report.credibility import JUDGED, list_credibility
from exvivo.report.crosstables import list_associations, list_crosstables
from exvivo.report.modifiers import forest_of_modifiers, list_levels, list_precision
from exvivo.report.wording import Wording, load_wording
from exvivo.study.protocol import Protocol
from exvivo.study.run import Effects, Run

PRECISION = {"sd": 0.5, "half_width_fold": 1.7, "detectable_fold": 2.0}


@pytest.fixture(scope="module")
def words() -> Wording:
    return load_wording()


@pytest.fixture(scope="module")
def modified(run: Run) -> Run:
    """The run with precision in detail, shrunken levels and a corrected slope."""
    effects = [dict(row) for row in run.effects.effects.rows()]
    beside = [dict(row) for row in run.effects.supplementary.rows()]
    for row in effects:
        if row["modifier"] in {"ild_ct", "pah_echo"}:
            row["detail"] = json.dumps({"precision": PRECISION, "planned": PRECISION | {"sd": 0.45}})
        if row["modifier"] == "mrss":
            row["detail"] = json.dumps({"per": 10.0, "reliability": 0.69})
            corrected = {"role": "supplementary", "method": "regression-calibration", "estimate": 1.5, "p": None, "p_adjusted": None}
            beside.append(row | corrected)
        if row["modifier"] == "autoab":
            row["detail"] = json.dumps({"precision": {"sd": 0.5, "detectable_between_fold": 1.4}})
    shrunken = {"method": "shrunken-level", "estimate": 0.66, "ci_low": None, "ci_high": None}
    beside += [row | shrunken for row in beside if row["modifier"] == "ild_ct" and row["level"] == "yes"]
    tables = (
        dataclasses.replace(table, frame=table.frame.clear().vstack(pl.DataFrame(rows, schema=table.frame.schema)))
        for table, rows in ((run.effects.effects, effects), (run.effects.supplementary, beside))
    )
    return dataclasses.replace(run, effects=Effects(*tables))


def test_the_forest_has_each_p_once_and_levels_without(modified: Run, words: Wording) -> None:
    rows = forest_of_modifiers(modified, words)
    heads = [row for row in rows if row.tone == "head"]
    assert len(heads) == len(modified.protocol.analysis.modifiers)
    assert [row.label for row in rows if row.texts[3]] == [
        row.label for row in heads if row.label != "pulmonary arterial hypertension on echocardiography"
    ]
    assert all(not row.texts[3] for row in rows if row.tone != "head")


def test_levels_with_too_few_donors_stay_in_the_forest(modified: Run, words: Wording) -> None:
    small = [row for row in forest_of_modifiers(modified, words) if row.texts[1] == "too few donors"]
    assert [row.texts[0] for row in small] == ["2"] * 5
    assert all(row.ratio == (None, None, None) for row in small)


def test_ratio_of_ratios_stands_at_the_level_above_the_line(modified: Run, words: Wording) -> None:
    rows = forest_of_modifiers(modified, words)
    registered = next(row for row in modified.effects.effects.rows() if row["modifier"] == "ild_ct")
    at = next(i for i, row in enumerate(rows) if row.label == "interstitial lung disease on CT")
    yes, no = sorted(rows[at + 1 : at + 3], key=lambda row: row.label != "yes")
    assert yes.modification[0] == registered["estimate"]
    assert (no.modification[0], no.texts[2]) == (None, "reference")
    assert yes.shrunken == 0.66


def test_the_corrected_slope_is_hollow_and_follows_the_registered_one(modified: Run, words: Wording) -> None:
    slopes = [row for row in forest_of_modifiers(modified, words) if row.modification[0] is not None and row.ratio[0] is None]
    registered = next(row for row in modified.effects.effects.rows() if row["modifier"] == "mrss")
    assert [(row.modification[0], row.hollow) for row in slopes if row.hollow or "10" in row.label] == [
        (registered["estimate"], False),
        (1.5, True),
    ]


def test_all_donors_close_the_forest_as_registered(modified: Run, words: Wording) -> None:
    last = forest_of_modifiers(modified, words)[-1]
    primary = next(row for row in modified.effects.effects.rows() if row["outcome"] == "P1")
    assert (last.tone, last.ratio) == ("overall", (primary["estimate"], primary["ci_low"], primary["ci_high"]))


def test_precision_is_printed_for_every_interaction_that_has_it(modified: Run, words: Wording) -> None:
    rows = [row.cells for row in list_precision(modified, words).rows]
    assert [row[2] for row in rows] == ["these donors", "these donors", "the protocol", "these donors", "the protocol"]
    assert rows[0][-1] == "one SD between levels of × or ÷ 1.40"
    assert rows[1][3:] == ("0.500", "× or ÷ 1.70", "0.500 or 2.00")
    assert rows[2][3] == "0.450"


def test_levels_tell_the_reliability_of_a_score(modified: Run, words: Wording) -> None:
    rows = [row.cells for row in list_levels(modified, words).rows]
    told = next(row[-1] for row in rows if row[0] == "modified Rodnan skin score")
    assert "0.69 of the variance" in told
    assert "SD of 4.6" in told
    assert any(row[1] == "corrected for the score's error" and row[3] == "1.50" and not row[5] for row in rows)
    assert [row[7] for row in rows if row[7]] == ["0.660"]


def test_precision_is_not_printed_twice(words: Wording) -> None:
    assert words.detail(json.dumps({"missing": 2, "precision": PRECISION})) == "modifier missing: 2"


def test_associations_are_a_triangle_of_all_modifiers(run: Run) -> None:
    (table,) = list_associations(run)
    assert [len([cell for cell in row.cells[1:] if cell]) for row in table.rows] == [1, 2, 3, 4, 5]
    cells = {row.cells[0]: row.cells[1:] for row in table.rows}
    skin = [4.0, 22.0, 31.0, 8.0, 17.0]
    groups = {"ACA": [4.0], "ATA": [22.0, 17.0], "RNAP3": [31.0], "none": [8.0]}
    between = sum(len(group) * (np.mean(group) - np.mean(skin)) ** 2 for group in groups.values())
    expected = math.sqrt(between / sum((x - np.mean(skin)) ** 2 for x in skin))
    assert cells["modified Rodnan skin score"][0] == f"{expected:.2f}"
    assert cells["interstitial lung disease on CT"][0] == "1.00"


def test_crosstables_keep_missing_donors_and_tell_the_association(run: Run, words: Wording) -> None:
    table = next(grid for grid in list_crosstables(run, words) if grid.caption.startswith("autoantibodies × interstitial"))
    assert table.caption.endswith("(1.00)")
    assert sum(int(cell) for row in table.rows for cell in row.cells[1:]) == 6
    assert table.rows[-1].cells[0] == "missing"


def test_credibility_sheets_state_facts_and_leave_judgements_blank(modified: Run, words: Wording) -> None:
    sheets = list_credibility(modified, words)
    assert len(sheets) == len(modified.protocol.analysis.modifiers)
    for sheet in sheets:
        assert [row.cells[2] for row in sheet.rows[-len(JUDGED) :]] == [""] * len(JUDGED)
        assert "Modifiers tried in S4: 6." in sheet.rows[-3].cells[1]
    lung = next(sheet for sheet in sheets if sheet.caption.startswith("interstitial"))
    assert "The protocol writes down none. Found:" in lung.rows[4].cells[1]


@pytest.mark.parametrize(
    ("direction", "told"), [("up", "above 1"), ("down", "below 1"), ("none", "no difference"), ("unknown", "no stated direction")]
)
def test_credibility_tells_what_the_protocol_expected(modified: Run, words: Wording, direction: str, told: str) -> None:
    block = modified.protocol.file
    changed = {"ild_ct": block.modifiers["ild_ct"].model_copy(update={"direction": direction, "evidence": "Doe 2020: stronger in ILD."})}
    protocol = Protocol(block.model_copy(update={"modifiers": {**block.modifiers, **changed}}), modified.protocol.sha256)
    sheets = list_credibility(dataclasses.replace(modified, protocol=protocol), words)
    lung = next(sheet for sheet in sheets if sheet.caption.startswith("interstitial"))
    assert told in lung.rows[4].cells[1]
    assert lung.rows[5].cells[1] == "Doe 2020: stronger in ILD."
