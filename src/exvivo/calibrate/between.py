"""QCs of all accepted plates -> how far plates move as wholes, beside what readings and curves explain.

The standard series of a plate is pipetted once; an error in it moves every result of the plate by one factor. QCs that stand on
several plates show it. Fewer than five plates with a QC in common do not tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from exvivo.calibrate.quantify import Judged, estimate_groups, group_wells
from exvivo.numerics.between import ControlResults, estimate_between
from exvivo.study.design import WellRole

FEWEST_PLATES = 5


@dataclass(frozen=True, slots=True)
class PlateError:
    """Standard deviation of a plate's common error, ln units, and how many plates tell it; 0 plates: nothing is known of it."""

    sd: float = 0.0
    plates: int = 0

    @property
    def half(self) -> float:
        """Half width of its 95 % interval."""
        return self.sd * float(stdtrit(self.plates - 1, 0.975)) if self.plates > 1 else 0.0


def measure_plate_error(plates: Sequence[Judged]) -> PlateError:
    """Common error of the plates of one analyte, from their QCs."""
    groups = [
        (plate, name, wells) for plate in plates if not plate.failed for name, wells in group_wells(plate.fitted, WellRole.QC).items()
    ]
    answers = estimate_groups([plate.fitted for plate in plates], [wells for _, _, wells in groups], intervals=False)
    told = [
        (plate.fitted.plate, name, answer) for (plate, name, _), answer in zip(groups, answers, strict=True) if answer and answer.finite
    ]
    seen = {name: {plate for plate, other, _ in told if other == name} for _, name, _ in told}
    kept = [(plate, name, answer) for plate, name, answer in told if len(seen[name]) >= FEWEST_PLATES]
    if not kept:
        return PlateError()
    plate_index = {plate: i for i, plate in enumerate(dict.fromkeys(plate for plate, _, _ in kept))}
    control_index = {name: i for i, name in enumerate(dict.fromkeys(name for _, name, _ in kept))}
    results = ControlResults(
        log_conc=np.array([answer.log_conc for _, _, answer in kept]),
        se_log=np.array([answer.se_log for _, _, answer in kept]),
        loading=np.array([answer.loading for _, _, answer in kept]),
        control=np.array([control_index[name] for _, name, _ in kept]),
        plate=np.array([plate_index[plate] for plate, _, _ in kept]),
    )
    return PlateError(estimate_between(results), len(plate_index))
