"""The gates of a study, written as Gating-ML: our command and FlowKit count the same populations again."""

import warnings
from pathlib import Path

import polars as pl
import pytest

from exvivo.pipeline import Finished, GatingChoice, gate_files

TUBES = 3


@pytest.fixture(scope="module")
def tubes(finished: Finished) -> list[str]:
    """A few tubes of different donors."""
    files = finished.run.gating.populations.frame["file"].unique().sort().to_list()
    return files[:: len(files) // TUBES][:TUBES]


def counted(finished: Finished, tube: str) -> dict[str, int]:
    rows = finished.run.gating.populations.frame.filter(pl.col("file") == tube)
    return dict(rows.select("path", "count").iter_rows())


@pytest.mark.slow
def test_every_gated_tube_has_its_file(finished: Finished, simulated: Path) -> None:
    written = {path.relative_to(simulated / "results" / "gates").as_posix() for path in (simulated / "results" / "gates").rglob("*.xml")}
    assert written == {f"{file}.xml" for file in finished.run.gating.populations.frame["file"].unique().to_list()}


@pytest.mark.slow
def test_our_command_counts_the_same(finished: Finished, simulated: Path, tubes: list[str], tmp_path: Path) -> None:
    for tube in tubes:
        gate_files([simulated / tube], simulated / "results" / "gates" / f"{tube}.xml", tmp_path, GatingChoice(pages=False))
        again = pl.read_csv(tmp_path / "populations.csv")
        assert dict(again.select("path", "count").iter_rows()) == counted(finished, tube)


@pytest.mark.slow
def test_flowkit_counts_the_same(finished: Finished, simulated: Path, tubes: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import flowkit

        for tube in tubes:
            strategy = flowkit.parse_gating_xml(str(simulated / "results" / "gates" / f"{tube}.xml"))
            report = strategy.gate_sample(flowkit.Sample(str(simulated / tube))).report
            expected = counted(finished, tube)
            found = {
                "/".join((*path[1:], name)): count
                for path, name, count in zip(*(report[c] for c in ("gate_path", "gate_name", "count")), strict=True)
            }
            assert found == expected
