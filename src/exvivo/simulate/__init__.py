"""A study with known answers: the very files that instruments, lab and clinic would have written."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from exvivo.engine import Work
from exvivo.simulate.bench import compose_specimens, label_tubes
from exvivo.simulate.clinic import write_clinic
from exvivo.simulate.cytometer import Events, Look, write_tubes
from exvivo.simulate.ledger import write_truth
from exvivo.simulate.plates import write_plates
from exvivo.simulate.quantified import write_quantified
from exvivo.simulate.truth import draw_truth
from exvivo.study.protocol import Protocol

__all__ = ["SIZES", "Events", "Look", "simulate_study"]

SIZES: Mapping[str, Events] = MappingProxyType({"demo": Events(), "full": Events(10_000, 6_000, 2_000)})
"""Events per tube by the name of a study's size."""

DEMO_EVENTS = SIZES["demo"]


def simulate_study(
    folder: Path, protocol: Protocol, work: Work, *, donors: Mapping[str, int], seed: int, events: Events = DEMO_EVENTS
) -> None:
    """Write a whole study into a folder, but for its protocol and its decisions.

    Parameters
    ----------
    folder : where the files go; created if absent, files of the same name are replaced
    protocol : what is simulated
    work : runs one task per donor at the cytometer; its memo is not used, because tasks write files
    donors : number of people of each population
    seed : of everything; the same seed gives the same bytes
    events : events per cytometry tube

    Raises
    ------
    ValueError : a population that the protocol does not have
    """
    truth = draw_truth(protocol, donors, seed)
    tubes = label_tubes(truth, seed)
    folder.mkdir(parents=True, exist_ok=True)
    if tubes.frame.height:
        (folder / protocol.files.specimens).write_bytes(compose_specimens(tubes, tuple(protocol.file.factors)))
    write_quantified(folder, truth, seed)
    write_plates(folder, truth, tubes, seed)
    write_tubes(folder, truth, tubes, work, seed, events)
    write_clinic(folder, truth, seed)
    write_truth(folder, truth, tubes)
