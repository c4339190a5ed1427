"""What a tube's first gate keeps: the steady stretch of time, and scatter that was measured."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from exvivo.formats import fcs
from exvivo.gate.populations import Evaluation
from exvivo.gate.prepare import OpenTube, Tube
from exvivo.gate.steady import SMALLEST, scatter_bounds, steady_range

NAMES = ("Time", "FSC-A", "PE-A")
TOP = 262_144.0


def tube(events: NDArray[np.float64]) -> OpenTube:
    evaluation = Evaluation(events.astype(np.float32), {name: i for i, name in enumerate(NAMES)}, {})
    return OpenTube(
        Tube("t.fcs", "", "", None, "full", None, None), evaluation, dict.fromkeys(NAMES, TOP), compensated=True, identity=False
    )


def draw(n: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 1000, n))
    return np.column_stack([time, 90_000 * np.exp(0.2 * rng.standard_normal(n)), 500 * np.exp(0.5 * rng.standard_normal(n))])


@pytest.mark.parametrize("n", [300, 4000, 20_000])
def test_steady_tubes_keep_everything(n: int) -> None:
    for seed in range(20):
        events = draw(n, seed)
        found = steady_range(tube(events), "Time")
        time = events[:, 0].astype(np.float32)
        assert np.all((time >= found.low) & (time < found.high))
        assert not found.unsteady


@pytest.mark.parametrize("channel", [1, 2])
def test_a_level_that_settles_late_is_cut_off(channel: int) -> None:
    """The first tenth of the time shows twice the light, as a laser that warms up does."""
    events = draw(5000, 3)
    events[events[:, 0] < 100, channel] *= 2
    found = steady_range(tube(events), "Time")
    assert 90 <= found.low <= 130
    assert found.high > 990


def test_a_level_that_drifts_all_along_is_no_outlier_but_a_jump_in_the_middle_leaves_the_longer_side() -> None:
    events = draw(5000, 4)
    events[:, 2] *= 1 + 0.1 * events[:, 0] / 1000
    whole = steady_range(tube(events), "Time")
    assert whole.low < 1
    assert whole.high > 999
    events[(events[:, 0] > 300) & (events[:, 0] < 340), 2] *= 3
    assert 335 <= steady_range(tube(events), "Time").low <= 385


def test_a_tube_without_a_steady_half_is_kept_and_said_to_be_unsteady() -> None:
    events = draw(6000, 5)
    for begin in (230, 480, 730):
        events[(events[:, 0] > begin) & (events[:, 0] < begin + 40), 1] *= 3
    found = steady_range(tube(events), "Time")
    assert found.unsteady
    assert found.low == pytest.approx(events[0, 0], abs=0.02)
    assert found.high > 999


def test_a_channel_of_few_values_is_not_called_unsteady() -> None:
    events = draw(5000, 7)
    events[:, 2] = np.where(np.arange(5000) % 1000 < 90, 2.0, 1.0)
    assert steady_range(tube(events), "Time").low < 1


def test_margins_are_known_where_values_pile_up_at_the_ceiling() -> None:
    events = draw(1000, 6)
    assert scatter_bounds([tube(events)], ["FSC-A"], {"FSC-A": TOP}) == {"FSC-A": (SMALLEST, None)}
    events[:30, 1] = TOP - 1
    assert scatter_bounds([tube(events)], ["FSC-A", "FSC-A"], {"FSC-A": TOP}) == {"FSC-A": (SMALLEST, TOP - 1)}
    events[0, 1] = 2 * TOP
    assert scatter_bounds([tube(events)], ["FSC-A"], {"FSC-A": TOP}) == {"FSC-A": (SMALLEST, None)}


def test_no_events_have_no_time() -> None:
    assert steady_range(tube(np.zeros((0, 3))), "Time").high == 0


def test_margins_and_time_of_a_real_tube(shared_data: Path) -> None:
    """The tube that comes with PeacoQC: its authors' cleaned copy keeps no event at the ceiling; its green laser starts dim.

    Their report does not hold this tube; its stretch of odd levels is checked by eye: medians of G780-A in the first four of forty
    bins of events lie more than six SDs below the others.
    """
    first, cleaned = (_open(shared_data / "cytometry" / "qc" / name) for name in ("111.fcs", "111_Comp_Trans.fcs"))
    bounds = scatter_bounds([first], ["FSC-A", "FSC-H"], first.ranges)
    forward = first.evaluation.column("FSC-A", "uncompensated")
    assert bounds == {"FSC-A": (SMALLEST, 262_143.0), "FSC-H": (SMALLEST, None)}
    assert int(np.sum(forward >= 262_143.0)) == 50
    assert float(np.max(cleaned.evaluation.column("FSC-A", "uncompensated"))) < 262_143.0
    found, time = steady_range(first, "Time"), first.evaluation.column("Time", "uncompensated")
    lost = float(np.mean((time < found.low) | (time >= found.high)))
    assert 0.05 < lost < 0.15
    assert found.high > np.max(time)


def _open(path: Path) -> OpenTube:
    record = fcs.parse(path)[0]
    names = {channel.name: i for i, channel in enumerate(record.channels)}
    evaluation = Evaluation(fcs.read_events(path, record), names, {})
    ranges = {channel.name: channel.range for channel in record.channels}
    return OpenTube(Tube(path.name, "", "", None, "full", None, None), evaluation, ranges, compensated=True, identity=False)
