"""Data sets as configs name them: by a YAML file or by a name of `NAMED_SETS`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from eseg.config.named_sets import NAMED_SETS
from eseg.config.parsing import parse
from eseg.config.schema import DataConfig
from eseg.config.yaml_text import errors_at, read_yaml
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import Folder, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.samples import PseudoLabelled
from eseg.data.unpacked import expect_split
from eseg.errors import ConfigError, DataError
from eseg.runtime.class_table import ClassTable, require_same_classes


def load_dataset(path: str | Path, root: Path | None = None) -> FolderConfig:
    """Read the YAML file that describes a data set, or inspect the root of a named one.

    Args:
        path: The YAML file; its keys are the fields of `FolderConfig`. Or a name of `NAMED_SETS`.
        root: Where the data lies, in place of the file's `root`; relative to the working folder.
            The file's own `root` is relative to the file. In both, ~ and $VARIABLES are expanded.
            Named data sets need it.

    Raises:
        ConfigError: Keys or values are wrong; the message gives their places in the file. Or a
            named data set has no `root`, or no files.
        DataError: A named data set does not lie in `root`.
    """
    path = Path(path)
    named = NAMED_SETS.get(str(path))
    if named is not None:
        if named.describe is None:
            raise ConfigError(f"{path} is made on the fly: there are no files to examine")
        if root is None:
            raise ConfigError(
                f"{path}: say where the data set lies with `root` (data.root=PATH in a run); to "
                f"get it: {named.source}"
            )
        return named.describe(_expanded(root, path).resolve())
    if path.suffix == "" and not path.exists():
        raise ConfigError(
            f"{path}: neither a file nor a data set known by name; those are "
            f"{', '.join(NAMED_SETS)}"
        )
    raw = read_yaml(path)
    with errors_at(path):
        config = parse(FolderConfig, raw)
    base, given = (path.parent, config.root) if root is None else (Path(), root)
    root = (base / _expanded(given, path)).resolve()
    splits = {name: _with_list_beside(split, path.parent) for name, split in config.splits.items()}
    return dataclasses.replace(config, root=root, splits=splits)


def _with_list_beside(split: SplitConfig, folder: Path) -> SplitConfig:
    """Prefer a list file beside the YAML to one below the root."""
    if split.list_file is None:
        return split
    beside = (folder / split.list_file).resolve()
    return dataclasses.replace(split, list_file=str(beside)) if beside.is_file() else split


def _expanded(root: Path, owner: Path) -> Path:
    """Fill in ~ and $VARIABLES."""
    expanded = os.path.expandvars(root.expanduser())
    if "$" in expanded:
        raise ConfigError(f"{owner}: root: no such environment variable in '{root}'; set it")
    return Path(expanded)


def has_files(data: DataConfig) -> bool:
    """Tell whether a run's data set lies on the disk; generated ones do not."""
    named = NAMED_SETS.get(str(data.dataset))
    return named is None or named.describe is not None


def class_table(data: DataConfig) -> ClassTable:
    """Return names and colours of a run's classes; the images need not be there.

    Raises:
        ConfigError: The YAML of the data set is missing or wrong.
        DataError: The files of Mapillary Vistas that name its classes are not in the root.
    """
    named = NAMED_SETS.get(str(data.dataset))
    if named is not None and named.classes is not None:
        return named.classes
    return load_dataset(data.dataset, data.root).class_table()


def open_split(data: DataConfig, split: str, *, unlabelled: bool = False) -> SegmentationDataset:
    """Open one split of a run's data set.

    Args:
        data: The data of the run.
        split: The name of the split.
        unlabelled: If True, images without masks are accepted; none of their pixels has a label.

    Raises:
        ConfigError: The YAML of the data set is missing or wrong.
        DataError: The data is not as described, or has no such split, or the split has no masks.
    """
    named = NAMED_SETS.get(str(data.dataset))
    if named is not None and named.generate is not None:
        return named.generate(data, split)
    described = load_dataset(data.dataset, data.root)
    if named is not None:
        expect_split(described, split, named.source)
    return _open_folder(described, split, unlabelled)


def open_pseudo_labelled(data: DataConfig, classes: ClassTable) -> PseudoLabelled | None:
    """Open a run's samples with pseudo-labels; None if it has none.

    Args:
        data: The data of the run.
        classes: The classes of its labelled set.

    Raises:
        ConfigError: The YAML of the data set is not named, missing or wrong.
        DataError: The data is not as described, has no such split, or has other classes.
    """
    if data.pseudo is None:
        return None
    if data.pseudo.dataset is None:
        raise ConfigError(
            "data.pseudo.dataset: missing; name the dataset.yaml that `eseg pseudo-label` wrote, "
            "or let `eseg self-train` do both"
        )
    described = load_dataset(data.pseudo.dataset, data.pseudo.root)
    require_same_classes(
        classes,
        described.class_table(),
        "the labelled set",
        str(data.pseudo.dataset),
        "take pseudo-labels of a network for the same classes, in the same order",
    )
    return PseudoLabelled(_open_folder(described, data.pseudo.split), data.pseudo.fraction)


def _open_folder(described: FolderConfig, split: str, unlabelled: bool = False) -> Folder:
    folder = Folder(described, split)
    if folder.is_labelled or unlabelled:
        return folder
    raise DataError(
        f"split '{split}' of data set '{described.name}' has images but no masks: nothing can be "
        "trained or measured on it; `eseg predict` labels images, and `eseg evaluate` with a "
        "`submission` folder writes the files that the test server of a data set takes"
    )
