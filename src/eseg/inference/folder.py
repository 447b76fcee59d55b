"""Labels for many image files: PNGs in the classes' palette and overlays for the eye."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eseg.data.dataset import DataError
from eseg.inference.predictor import Predictor

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    Attributes:
        source: The image.
        labels: The palette PNG that was written, or None.
        error: Why there is none, or None.
    """

    source: Path
    labels: Path | None
    error: str | None


def list_images(sources: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Expand files and folders to (image, name), the name being its path below its folder.

    Folders are searched to any depth, in sorted order; other files in them are passed over.

    Raises:
        DataError: A source does not exist, a folder has no image in it, or two images would write
            the same file.
    """
    images: list[tuple[Path, Path]] = []
    for source in sources:
        if source.is_dir():
            found = sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise DataError(
                    f"{source}: no images in this folder (looked for {', '.join(IMAGE_SUFFIXES)})"
                )
            images.extend((path, path.relative_to(source)) for path in found)
        elif source.exists():
            images.append((source, Path(source.name)))
        else:
            raise DataError(f"{source}: no such file or folder")
    taken: dict[Path, Path] = {}
    for path, name in images:
        other = taken.setdefault(name.with_suffix(""), path)
        if other != path:
            raise DataError(f"{path} and {other} would write the same file; run them apart")
    return images


def predict_files(
    predict: Predictor, images: Iterable[tuple[Path, Path]], output: Path
) -> Iterator[Outcome]:
    """Label images and write `labels/NAME.png` and `overlays/NAME.jpg`, both at the image's size.

    A file that cannot be read is reported and skipped.

    Args:
        predict: The network.
        images: (image, name) pairs as `list_images` gives them.
        output: Folder to write to.
    """
    for path, name in images:
        try:
            result = predict(path)
        except DataError as error:
            yield Outcome(path, None, str(error))
            continue
        labels = (output / "labels" / name).with_suffix(".png")
        picture = (output / "overlays" / name).with_suffix(".jpg")
        for file in (labels, picture):
            file.parent.mkdir(parents=True, exist_ok=True)
        result.save(labels)
        result.overlay(legend=True).save(picture, quality=90)
        yield Outcome(path, labels, None)
