"""exvivo: from the raw files of an ex-vivo drug study in donor-derived cells to its registered outcomes."""
