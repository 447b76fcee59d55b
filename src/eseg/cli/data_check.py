"""Examination of a run's data by the doctor, before the run begins."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from eseg.cli.screen import RichReporter, complain, print_line, warn
from eseg.errors import ConfigError, DataError

if TYPE_CHECKING:
    from eseg.config import DataConfig

AUTOMATIC_UP_TO = 5000
"""Images that are checked unasked: about a minute's work on two cores if they are small."""


def check_data(data: DataConfig, *, asked: bool) -> None:
    """Examine the images and masks of a run: print warnings and errors, and raise after errors.

    Nothing is done for scenes without files, nor, unless it was asked for, in one of several
    processes or for more than `AUTOMATIC_UP_TO` images.

    Args:
        data: The run's data set.
        asked: True if the user asked for it.

    Raises:
        DataError: There are errors in the data; they have been printed.
        ConfigError: It was asked for in one of several processes.
    """
    from eseg.config import has_files, load_dataset
    from eseg.data.folder import list_split
    from eseg.doctor import examine

    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if asked and not alone:
        raise ConfigError("--check is for one process; run `eseg doctor` once, before torchrun")
    if not has_files(data) or not alone:
        return
    described = load_dataset(data.dataset, data.root)
    used = {split: described.splits[split] for split in (data.train_split, data.val_split)
            if split in described.splits}  # fmt: skip
    described = dataclasses.replace(described, splits=used)
    count = sum(len(list_split(described, split)) for split in used)
    if count > AUTOMATIC_UP_TO and not asked:
        print_line(f"{count} images, not checked beforehand: --check, or eseg doctor, does that")
        return
    with RichReporter() as reporter:
        diagnosis = examine(described, reporter=reporter)
    for finding in diagnosis.findings:
        if finding.severity != "note":
            tell = complain if finding.severity == "error" else warn
            tell(f"{finding.kind} ({len(finding.files)} files): {finding.message}")
    if diagnosis.has_errors:
        raise DataError(
            f"the data has errors, above; `eseg doctor {data.dataset}` shows them all and writes a "
            "data set without them. --no-check trains all the same, until a broken file comes up"
        )
    print_line(f"checked {diagnosis.readings.pairs} images and masks")
