"""What is wrong with a data set, found out before anyone trains on it."""

from eseg.data.doctor.bare import examine_folder
from eseg.data.doctor.diagnosis import Diagnosis, examine
from eseg.data.doctor.findings import Finding

__all__ = ["Diagnosis", "Finding", "examine", "examine_folder"]
