"""The data sets that configs name: official ones, those with a YAML, and the procedural one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from eseg.config.parsing import parse
from eseg.config.reading import read_yaml
from eseg.config.schema import STREETS, DataConfig
from eseg.data.dataset import SegmentationDataset
from eseg.data.folder import Folder, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.data.official import OFFICIAL, expect_split
from eseg.data.samples import PseudoLabelled
from eseg.errors import ConfigError, DataError
from eseg.runtime.class_table import ClassTable
from eseg.streets import CLASSES, Streets

BUILT_IN = (STREETS, *OFFICIAL)
"""The data sets that have a name instead of a YAML."""


def load_dataset(path: str | Path, root: Path | None = None) -> FolderConfig:
    """Read the YAML file that describes a data set, or look at an official one on the disk.

    Args:
        path: The YAML file; its keys are the fields of `FolderConfig`. Or the name of an official
            data set (`eseg.data.official.OFFICIAL`).
        root: Where the data lies, in place of the file's `root`; relative to the working folder.
            The file's own `root` is relative to the file. In both, ~ and $VARIABLES are expanded.
            Official data sets need it.

    Raises:
        ConfigError: Keys or values are wrong; the message gives their places in the file. Or there
            is no `root` for an official data set.
        DataError: An official data set does not lie in `root`.
    """
    path = Path(path)
    if str(path) in OFFICIAL:
        return OFFICIAL[str(path)].describe(_official_root(str(path), root))
    if path.suffix == "" and not path.exists():
        raise ConfigError(
            f"{path}: neither a file nor a data set known by name; those are {', '.join(BUILT_IN)}"
        )
    raw = read_yaml(path)
    try:
        config = parse(FolderConfig, raw)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    base, given = (path.parent, config.root) if root is None else (Path(), root)
    root = (base / _expanded(given, path)).resolve()
    splits = {name: _with_list_beside(split, path.parent) for name, split in config.splits.items()}
    return dataclasses.replace(config, root=root, splits=splits)


def _with_list_beside(split: SplitConfig, folder: Path) -> SplitConfig:
    """Let a list file lie beside the YAML too; one there comes before one below the root."""
    if split.list_file is None:
        return split
    beside = (folder / split.list_file).resolve()
    return dataclasses.replace(split, list_file=str(beside)) if beside.is_file() else split


def class_table(data: DataConfig) -> ClassTable:
    """Names and colours of a run's classes; the data itself need not be there.

    Only Mapillary Vistas has to be: its own files say its classes.

    Raises:
        ConfigError: The YAML of the data set is missing or wrong.
        DataError: Mapillary Vistas does not lie in the root.
    """
    if data.dataset == Path(STREETS):
        return CLASSES
    official = OFFICIAL.get(str(data.dataset))
    if official is not None and official.classes is not None:
        return official.classes
    return load_dataset(data.dataset, data.root).class_table()


def open_split(data: DataConfig, split: str, *, unlabelled: bool = False) -> SegmentationDataset:
    """Open one split of a run's data set.

    Args:
        data: The data of the run.
        split: The name of the split.
        unlabelled: Whether images without masks will do; no pixel of theirs has a label.

    Raises:
        ConfigError: The YAML of the data set is missing or wrong.
        DataError: The data is not as described, or has no such split, or the split has no masks.
    """
    if data.dataset == Path(STREETS):
        return Streets(split, data.streets)
    described = load_dataset(data.dataset, data.root)
    if str(data.dataset) in OFFICIAL:
        expect_split(described, split, OFFICIAL[str(data.dataset)].source)
    return _open_folder(described, split, unlabelled)


def open_pseudo_labelled(data: DataConfig, classes: ClassTable) -> PseudoLabelled | None:
    """Open a run's samples with pseudo-labels, if it has any.

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
    names = described.class_table().names
    if names != classes.names:
        raise DataError(
            f"{data.pseudo.dataset} has the classes {', '.join(names)}, the labelled set has "
            f"{', '.join(classes.names)}: take pseudo-labels of a network for the same classes, in "
            "the same order"
        )
    return PseudoLabelled(_open_folder(described, data.pseudo.split), data.pseudo.fraction)


def _open_folder(described: FolderConfig, split: str, unlabelled: bool = False) -> Folder:
    folder = Folder(described, split)
    if folder.is_labelled or unlabelled:
        return folder
    raise DataError(
        f"split '{split}' of data set '{described.name}' has images but no masks: nothing can be "
        "trained or measured on it; `eseg predict` labels images, and `eseg evaluate --submission` "
        "writes the files that the test server of an official data set takes"
    )


def _official_root(name: str, root: Path | None) -> Path:
    if root is None:
        raise ConfigError(
            f"{name}: say where the data set lies with data.root=PATH (train) or --root PATH; to "
            f"get it: {OFFICIAL[name].source}"
        )
    return _expanded(root, Path(name)).resolve()


def _expanded(root: Path, owner: Path) -> Path:
    """A root with ~ and $VARIABLES filled in."""
    expanded = os.path.expandvars(root.expanduser())
    if "$" in expanded:
        raise ConfigError(f"{owner}: root: no such environment variable in '{root}'; set it")
    return Path(expanded)
