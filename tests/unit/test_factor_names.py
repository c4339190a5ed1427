"""Names of factors are the protocol's: the drug need not be called drug, and there may be more factors than three."""

import re
import shutil
from pathlib import Path

import polars as pl

from exvivo.cli import main
from exvivo.study.tables import OUTCOMES


def effects(folder: Path, factor: str) -> pl.DataFrame:
    """Registered estimates of a small study without cytometry whose drug factor has another name."""
    assert main(["init", str(folder)]) == 0
    path = folder / "study.yaml"
    text = re.sub(r"\bdrug:|(?<=factor: )drug\b", lambda found: found[0].replace("drug", factor), path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert main(["simulate", str(folder), "--donors", "4+3", "--workers", "1"]) == 0
    shutil.rmtree(folder / "cytometry")
    for kind in ("lock", "unblind"):
        assert main(["decide", str(folder), kind, "--reason", "complete"]) == 0
    assert main(["run", str(folder), "--workers", "1"]) == 0
    assert main(["report", str(folder)]) == 0
    return pl.read_parquet(folder / "results" / "tables" / "effects.parquet")


def test_a_study_may_call_its_drug_factor_what_it_likes(tmp_path: Path) -> None:
    usual, renamed = effects(tmp_path / "usual", "drug"), effects(tmp_path / "renamed", "compound")
    assert usual["estimate"].is_not_null().sum() > 5
    assert renamed.equals(usual)


def test_a_further_factor_sets_rows_apart() -> None:
    row = {"experiment": "A", "donor": "D1", "readout": "CCL18", "drug": "x", "status": "missing"}
    frame = OUTCOMES.from_rows([row, row | {"readout": "IL6"}, row | {"readout": "TNF"}]).frame
    twice = pl.concat([frame, frame])
    apart = twice.with_columns(dose=pl.Series(["low"] * 3 + ["high"] * 3))
    assert OUTCOMES.build(apart).height == 6
    assert OUTCOMES.build(apart).kind.key == OUTCOMES.key
