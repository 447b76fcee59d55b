"""A run's config, and those of its sections that concern the run as a whole.

Sections that configure one piece of code (model, augmentation, loss, ...) are beside that code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eseg.choices import Precision
from eseg.config.optimizers import OptimConfig
from eseg.data.loaders import LoaderConfig
from eseg.data.transforms import AugmentConfig
from eseg.losses import LossConfig
from eseg.models import ModelConfig
from eseg.runtime.resizing import ResizeConfig
from eseg.streets import StreetsConfig

STREETS = "streets"
"""Name of the data set that needs no files."""


@dataclass(frozen=True)
class PseudoConfig:
    """A second source of training samples, labelled by another network (section 4.4).

    Attributes:
        dataset: Path of a data set's YAML, relative to the config that names it; `eseg
            pseudo-label` writes one beside its labels, and `eseg self-train` fills it in. Its
            classes must be those of the labelled set.
        root: Where that data set lies, in place of the root in its YAML.
        split: Split to train on.
        fraction: Its share of every batch, in (0, 1); the rest is from the labelled set.
    """

    dataset: Path | None = None
    root: Path | None = None
    split: str = "train"
    fraction: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share that leaves out one of the two sources."""
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction must be above 0 and below 1, not {self.fraction}")


@dataclass(frozen=True)
class DataConfig:
    """The data set of a run.

    Attributes:
        dataset: Path of a data set's YAML, relative to the config that names it, or the name of
            one that needs none (`eseg.config.NAMED_SETS`), such as `streets` or `cityscapes`.
        root: Where that data set lies, in place of the root in its YAML; named ones need it.
        train_split: Split to train on.
        val_split: Split to evaluate on.
        streets: Size, lengths and seed of the procedural scenes, for `dataset: streets`.
        pseudo: Images with pseudo-labels that are a part of every batch, or null.
        resize: The size that every image is resized to first, in training, evaluation and use;
            labels are at the image's own size. Null for images as they are.
    """

    dataset: Path = Path(STREETS)
    root: Path | None = None
    train_split: str = "train"
    val_split: str = "val"
    streets: StreetsConfig = field(default_factory=StreetsConfig)
    pseudo: PseudoConfig | None = None
    resize: ResizeConfig | None = None


@dataclass(frozen=True)
class InitConfig:
    """The weights that a run starts from.

    Attributes:
        pretrained_backbone: True for the ImageNet weights named in the preset, a path for weights
            in a file, False for random ones.
        checkpoint: A checkpoint of another run to fine-tune. Its head is replaced if the classes
            differ; everything before the head is kept.
    """

    pretrained_backbone: bool | Path = False
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        """Refuse two sources for the same weights."""
        if self.checkpoint is not None and self.pretrained_backbone is not False:
            raise ValueError(
                "pretrained_backbone and checkpoint both give the encoder its weights; keep one"
            )


@dataclass(frozen=True)
class TrainConfig:
    """Length, batches and precision of a run.

    Attributes:
        steps: Optimiser steps.
        batch_size: Images per step, over all processes and accumulated parts.
        accumulate: Parts into which each process divides its share of a batch.
        ema_decay: Decay of the averaged weights, which are evaluated and kept, in [0, 1).
        precision: `auto` is bf16 on a GPU that has it and fp32 elsewhere.
        channels_last: If True, tensors are stored channels last: faster on CPUs and tensor cores.
        compile: If True, torch.compile is applied: a slow start, then faster steps.
        eval_every: Steps between evaluations; the last step is always evaluated.
        checkpoint_every: Steps between writes of the `last` checkpoint; every evaluation writes
            it too.
        log_every: Steps between log lines.
    """

    steps: int
    batch_size: int = 16
    accumulate: int = 1
    ema_decay: float = 0.9998
    precision: Precision = "auto"
    channels_last: bool = True
    compile: bool = False
    eval_every: int = 1000
    checkpoint_every: int = 500
    log_every: int = 10

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in (
            "steps", "batch_size", "accumulate", "eval_every", "checkpoint_every", "log_every",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), not {self.ema_decay}")


@dataclass(frozen=True)
class RunConfig:
    """Everything that a training run depends on; the fields are the keys of its YAML.

    Attributes:
        model: A `preset` and the fields of `ModelConfig` that differ from it; the number of
            classes is that of the data set.
        data: Data set and splits.
        augment: Random scale, crop and flip.
        train: Length, batch and precision.
        optim: Optimiser, schedule and frozen parts.
        loss: Loss, or weighted sum of losses, and their options.
        loader: Worker processes.
        init: The weights to start from.
        seed: Seed of weights, sample order and augmentation.
    """

    model: ModelConfig
    data: DataConfig
    augment: AugmentConfig
    train: TrainConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    init: InitConfig = field(default_factory=InitConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a seed that the sample order cannot use."""
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be in [0, 2**32), not {self.seed}")
