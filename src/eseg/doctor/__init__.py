"""Examination of data sets: faults that training would meet, class balance, a repaired YAML."""

from eseg.doctor.bare import examine_folder
from eseg.doctor.diagnosis import Diagnosis, examine
from eseg.doctor.findings import Finding

__all__ = ["Diagnosis", "Finding", "examine", "examine_folder"]
