"""Every error that a user may meet: one base class, and one class per cause.

Messages name the file, the value and the remedy. Python arguments stand in backticks (`output`);
the command line replaces them by the options of the verb at hand.
"""

from __future__ import annotations

from typing import Literal

Fault = Literal[
    "unreadable file",
    "lossy mask",
    "colours for ids",
    "ids for colours",
    "sizes differ",
    "unknown value",
    "missing partner",
    "repeated name",
]
"""Kinds of faults in the files of a data set that training refuses."""


class EsegError(Exception):
    """Base of all errors that the user can mend."""


class ConfigError(EsegError, ValueError):
    """A key or value of a config is wrong; the message gives its path and what is allowed."""


class DataError(EsegError, ValueError):
    """A data set is not as described; the message names the file, the value and the remedy.

    Attributes:
        fault: Kind of fault in the data set's files; None for anything else.
    """

    def __init__(self, message: str, fault: Fault | None = None) -> None:
        super().__init__(message)
        self.fault: Fault | None = fault


class ImageError(EsegError, ValueError):
    """Something given as an image is not one; the message names the file, the value, the remedy."""


class OutputError(EsegError, RuntimeError):
    """A file or folder cannot be written, or another process writes there."""


class CheckpointError(EsegError, RuntimeError):
    """A file is not a checkpoint, is damaged, or does not fit; the message names it."""


class BackboneError(EsegError, ValueError):
    """A backbone does not exist, cannot serve as an encoder, or has no weights to load."""


class DeviceError(EsegError, RuntimeError):
    """The requested device does not exist; the message names those that do."""


class EngineError(EsegError, RuntimeError):
    """An engine, or its device, is missing or cannot do what was asked."""


class ExportError(EsegError, RuntimeError):
    """A network cannot be exported as asked."""


class ExportFileError(EsegError, RuntimeError):
    """A file is not an export of eseg, is damaged, or cannot be run here; the message names it."""


class BenchmarkError(EsegError, RuntimeError):
    """Something cannot be timed as asked, or its process ended."""


class TrainingError(EsegError, RuntimeError):
    """Training cannot go on; the message says why and what to try."""


class LostProcessError(TrainingError):
    """Another process of the run has ended; its own message, or torchrun's summary, says why."""
