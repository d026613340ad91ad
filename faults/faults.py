"""All faults by name. Each module enters its own; they are read in the order of the table."""

from faults import crashes, lines, situations
from faults.scene import FAULTS, Fault, Scene, fault

__all__ = ["FAULTS", "Fault", "Scene", "crashes", "fault", "lines", "situations"]
