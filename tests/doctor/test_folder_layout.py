"""Folders as people lay them out: which file is an image, which is a mask, and whose."""

import numpy as np
import pytest

from eseg.doctor.folder_layout import find_layout
from eseg.errors import DataError

LAYOUTS = {
    "folders in splits": ("{split}/images/{name}.png", "{split}/masks/{name}.png"),
    "splits in folders": ("images/{split}/{name}.jpg", "labels/{split}/{name}.png"),
    "suffix in one folder": ("{split}/{name}.jpg", "{split}/{name}_mask.png"),
    "both suffixes": ("{split}/{name}_leftImg8bit.png", "{split}/{name}_gtFine_labelIds.png"),
    "split in the name of the folder": ("{split}/{name}.png", "{split}_labels/{name}.png"),
    "one word": ("{split}/{name}.png", "{split}annot/{name}.png"),
    "deep": ("JPEGImages/{split}/city/{name}.jpg", "SegmentationClass/{split}/city/{name}.png"),
    "other extension": ("images/{split}/{name}.JPG", "masks/{split}/{name}.bmp"),
    "prefix": ("{split}/{name}.png", "{split}/mask_{name}.png"),
    "painted only": ("{split}/img/{name}.png", "{split}/color/{name}.png"),
}


def write(yard, draw, image, mask, splits=(("train", (1, 2, 3)), ("val", (4, 5)))):
    """Pairs in a layout; the expected answer."""
    expected = {}
    for split, numbers in splits:
        expected[split] = [
            (
                yard.put(
                    f"new/{image.format(split=split, name=f'a_{number}')}", draw.image(number)
                ),
                yard.put(f"new/{mask.format(split=split, name=f'a_{number}')}", draw.mask(number)),
            )
            for number in numbers
        ]
    return expected


@pytest.mark.parametrize("kind", LAYOUTS)
def test_common_layouts(yard, draw, kind):
    expected = write(yard, draw, *LAYOUTS[kind])
    layout = find_layout(yard.root / "new")
    assert layout.splits == expected
    assert layout.images_without_mask == layout.masks_without_image == ()


def test_names_that_say_nothing_are_told_apart_by_contents(yard, draw):
    expected = write(yard, draw, "a/{name}.png", "b/{name}.png", [(None, (1, 2, 3))])
    for number in (1, 2, 3):  # more colours than a mask would have
        yard.put(
            f"new/a/a_{number}.png",
            np.random.default_rng(number).integers(0, 256, (24, 32, 3), np.uint8),
        )
    assert find_layout(yard.root / "new").splits == expected


def test_masks_for_people_are_left_aside(yard, draw):
    expected = write(yard, draw, *LAYOUTS["both suffixes"])
    write(yard, draw, "{split}/{name}_leftImg8bit.png", "{split}/{name}_gtFine_color.png")
    write(yard, draw, "{split}/{name}_leftImg8bit.png", "{split}/{name}_gtFine_instanceIds.png")
    assert find_layout(yard.root / "new").splits == expected


def test_files_without_partner_are_told(yard, draw):
    expected = write(yard, draw, *LAYOUTS["splits in folders"])
    (lone, _), (_, mask) = expected["train"][0], expected["train"].pop(1)
    expected["train"].pop(0)[1].unlink()
    (yard.root / "new/images/train/a_2.jpg").unlink()
    layout = find_layout(yard.root / "new")
    assert layout.splits == expected
    assert layout.images_without_mask == (lone,)
    assert layout.masks_without_image == (mask,)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no pictures in it"),
        ({"images/1.png": "image"}, "but no masks; name the folders images and masks"),
        ({"masks/1.png": "mask"}, "but no images; name the folders images and masks"),
        ({"images/1.png": "image", "masks/2.png": "mask"}, "no two have the same name .*1.png"),
    ],
)
def test_folders_without_pairs(yard, draw, files, message):
    folder = yard.root / "new"
    folder.mkdir()
    for name, kind in files.items():
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (24, 32, 3), np.uint8)
        yard.put(f"new/{name}", noise if kind == "image" else draw.mask(1))
    with pytest.raises(DataError, match=message):
        find_layout(folder)


def test_several_masks_for_one_image(yard, draw):
    for name in ("images/1.png", "masks/1.png", "labels/1.png"):
        yard.put(f"new/{name}", draw.mask(1))
    with pytest.raises(DataError, match=r"several masks fit .*1.png: labels/1.png, masks/1.png"):
        find_layout(yard.root / "new")


def test_formats_that_are_not_read_are_named(tmp_path):
    (tmp_path / "1.gif").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"no pictures in it .*1 .gif: not read; convert them"):
        find_layout(tmp_path)
