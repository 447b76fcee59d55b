"""What is wrong with a data set, found out before anyone trains on it."""

from eseg.doctor.bare import examine_folder
from eseg.doctor.diagnosis import Diagnosis, examine
from eseg.doctor.findings import Finding

__all__ = ["Diagnosis", "Finding", "examine", "examine_folder"]
