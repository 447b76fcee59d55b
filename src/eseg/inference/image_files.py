"""Labels of many image files: PNGs in the classes' palette, and overlays to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eseg.errors import DataError, ImageError
from eseg.runtime.images import IMAGE_SUFFIXES
from eseg.runtime.predictor import Predictor
from eseg.runtime.writing import output_errors


@dataclass(frozen=True)
class Outcome:
    """An image, and the palette PNG of its labels or the reason why there is none."""

    source: Path
    labels: Path | None
    error: str | None


def list_images(sources: Iterable[Path], output: Path) -> list[tuple[Path, Path]]:
    """Expand files and folders to (image, name) pairs; a name is a path below its folder.

    Folders are searched to any depth, in sorted order; other files in them, hidden ones and what
    lies in the output folder are passed over.

    Raises:
        DataError: A source does not exist, a folder lies in the output folder or has no image in
            it, or two images would write the same file.
    """
    images: list[tuple[Path, Path]] = []
    for source in sources:
        if source.is_dir():
            if source.resolve().is_relative_to(output.resolve()):
                raise DataError(
                    f"{source}: images must not lie in the output folder ({output}), whose files "
                    "are passed over; choose another `output`"
                )
            found = sorted(p for p in source.rglob("*") if _is_image(p, source, output))
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


def _is_image(path: Path, source: Path, output: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
    written = path.resolve().is_relative_to(output.resolve())
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() and not hidden and not written


def predict_files(
    predict: Predictor, images: Iterable[tuple[Path, Path]], output: Path
) -> Iterator[Outcome]:
    """Label images and write `labels/NAME.png` and `overlays/NAME.jpg`.

    Labels and the pictures in the overlays have the image's size; a legend stands below the
    picture. A file that cannot be read, or has another size than the only one that an exported
    network takes, is reported and skipped. `images` are pairs as `list_images` gives them. Raises
    `OutputError` if the folder cannot be written.
    """
    for path, name in images:
        try:
            result = predict(path)
        except ImageError as error:
            message = str(error)  # of pixels, it does not name their file
            yield Outcome(path, None, message if str(path) in message else f"{path}: {message}")
            continue
        labels = (output / "labels" / name).with_suffix(".png")
        picture = (output / "overlays" / name).with_suffix(".jpg")
        with output_errors(output):
            for file in (labels, picture):
                file.parent.mkdir(parents=True, exist_ok=True)
            result.save(labels)
            result.overlay(legend=True).save(picture, quality=90)
        yield Outcome(path, labels, None)
