"""Every fault of the files is named, in the words of training, and nothing else is."""

import numpy as np
import pytest
from PIL import Image

from eseg.data.folder import ClassConfig, Folder
from eseg.data.listing import SplitConfig
from eseg.doctor import examine
from eseg.errors import DataError


def painted(mask, colours):
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours)] = colours
    return table[mask]


def test_nothing_is_found_where_nothing_is_wrong(yard):
    found = yard.examine()
    assert found.named == []
    assert not found.diagnosis.has_errors


FAULTS = {
    "sizes differ": lambda yard, draw: yard.put("train/masks/3.png", draw.mask(3)[::2]),
    "unknown value": lambda yard, draw: yard.put("train/masks/3.png", draw.mask(3) + 5),
    "colours for ids": lambda yard, draw: yard.put(
        "train/masks/3.png", painted(draw.mask(3), draw.colours)
    ),
    "lossy mask": lambda yard, draw: yard.put("train/masks/3.png", draw.mask(3), format="JPEG"),
    "unreadable file": lambda yard, draw: (yard.root / "train/masks/3.png").write_bytes(b"no"),
    "missing partner": lambda yard, draw: (yard.root / "train/masks/3.png").unlink(),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_errors_are_those_of_training(yard, draw, kind):
    FAULTS[kind](yard, draw)
    found = yard.examine()
    assert found.named == [(kind, ["train/masks/3.png"])]
    assert found.diagnosis.has_errors
    with pytest.raises(DataError) as refusal:
        list(Folder(yard.describe(), "train"))
    assert found.messages[kind] == str(refusal.value)
    assert refusal.value.fault == kind


def test_all_files_with_one_fault_are_in_one_finding(yard):
    for index in (1, 4):
        (yard.root / f"train/images/{index}.png").write_bytes(b"")
    found = yard.examine()
    assert found.named == [("unreadable file", ["train/images/1.png", "train/images/4.png"])]
    assert "1.png: the file is empty" in found.messages["unreadable file"]


def test_several_faults_of_one_pair(yard, draw):
    (yard.root / "train/images/2.png").write_bytes(b"")
    yard.put("train/masks/2.png", draw.mask(2) + 5)
    assert sorted(kind for kind, _ in yard.examine().named) == ["unknown value", "unreadable file"]


def test_colours_are_mapped_to_classes(yard, draw):
    pixels = painted(draw.mask(3), draw.colours)
    pixels[5, 5] = (1, 2, 3)
    yard.put("train/masks/3.png", pixels)
    proposal = yard.examine().proposals["colours for ids"]
    assert f"{draw.colours[1]} is box" in proposal
    assert "(1, 2, 3) belong to no class" in proposal


def test_ids_where_colours_are_expected(yard, draw):
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(f"{split}/masks/{index}.png", painted(draw.mask(index), draw.colours))
    ignored = {"mask_values": "colours", "ignore_colours": ((0, 0, 0),)}
    assert yard.examine(**ignored).named == []
    yard.put("train/masks/3.png", draw.mask(3).astype(np.uint16))
    assert yard.examine(**ignored).named == [("ids for colours", ["train/masks/3.png"])]


def save_palette(yard, draw, order, colours):
    """Mask 3 with the class `order[i]` at index i of a palette."""
    mask = draw.mask(3)
    indices = np.full_like(mask, 255)
    for index, label in enumerate(order):
        indices[mask == label] = index
    picture = Image.fromarray(indices)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(order)] = np.array(colours)[list(order)]
    picture.putpalette(palette.tobytes())
    picture.save(yard.root / "train/masks/3.png")


def test_palettes_that_contradict_the_classes(yard, draw):
    save_palette(yard, draw, (2, 1, 0), draw.colours)
    found = yard.examine()
    assert found.named == [("palette for ids", ["train/masks/3.png"])]
    assert (
        "the index 0, which means 'ground', has the colour of 'ball'"
        in (found.messages["palette for ids"])
    )
    assert "0 is ball, 2 is ground" in found.proposals["palette for ids"]


@pytest.mark.parametrize("other", [None, ((1, 1, 1), (2, 2, 2), (3, 3, 3)), ((9, 8, 7),) * 3])
def test_palettes_with_ids_as_indices_are_fine(yard, draw, other):
    save_palette(yard, draw, (0, 1, 2), other or draw.colours)
    assert yard.examine().named == []


def test_masks_that_are_all_ignore(yard, draw):
    yard.put("train/masks/3.png", np.full_like(draw.mask(3), 255))
    found = yard.examine()
    assert found.named == [("all ignored", ["train/masks/3.png"])]
    assert not found.diagnosis.has_errors


@pytest.mark.parametrize(("orientation", "said"), [(1, False), (2, True), (3, True), (6, False)])
def test_exif_is_a_surprise_only_where_sizes_prove_nothing(yard, draw, orientation, said):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = draw.image(3)
    turned = pixels.swapaxes(0, 1) if orientation == 6 else pixels
    yard.put("train/images/3.png", np.ascontiguousarray(turned), exif=exif)
    assert yard.examine().named == [("EXIF orientation", ["train/images/3.png"])] * said


def test_exif_of_both_is_no_surprise(yard, draw):
    exif = Image.Exif()
    exif[0x0112] = 3
    yard.put("train/images/3.png", draw.image(3), exif=exif)
    yard.put("train/masks/3.png", draw.mask(3), exif=exif)
    assert yard.examine().named == []


@pytest.mark.parametrize(("size", "said"), [((4, 8), True), ((120, 120), True), ((48, 64), False)])
def test_odd_sizes(yard, draw, size, said):
    yard.put("train/images/3.png", draw.image(3, size))
    yard.put("train/masks/3.png", np.resize(draw.mask(3)[1:], size))
    assert yard.examine().named == [("odd size", ["train/images/3.png"])] * said


def test_masks_without_image(yard):
    for path in ("train/images/3.png", "val/images/7.png"):
        (yard.root / path).unlink()
    assert yard.examine().named == [
        ("mask without image", ["train/masks/3.png"]),
        ("mask without image", ["val/masks/7.png"]),
    ]


def test_images_in_the_masks_folder_are_no_masks_without_image(yard, draw):
    for index in range(3):
        yard.put(f"mixed/{index}.png", draw.image(20 + index))
        yard.put(f"mixed/{index}_m.png", draw.mask(index))
    splits = {"train": SplitConfig(("mixed/?.png",), "mixed/{stem}_m.png")}
    assert yard.examine(splits=splits).named == []


def test_a_split_that_gives_nothing_leaves_the_others(yard):
    splits = {**yard.describe().splits, "test": SplitConfig(("no/*.png",), "no/{stem}.png")}
    found = yard.examine(splits=splits)
    assert found.named == [("unusable split", [])]
    assert found.diagnosis.readings.pairs == 10


def test_splits_without_masks_are_read(yard):
    (yard.root / "val/images/7.png").write_bytes(b"")
    splits = {**yard.describe().splits, "val": SplitConfig(("val/images/*.png",))}
    assert yard.examine(splits=splits).named == [("unreadable file", ["val/images/7.png"])]


def test_a_root_that_is_no_folder_is_refused(yard):
    with pytest.raises(DataError, match="is not a folder"):
        yard.examine(root=yard.root / "gone")


def test_names_that_stand_for_two_images(yard, draw):
    yard.put("train/images/3.bmp", draw.image(50))
    splits = {"train": SplitConfig(("train/images/*",), "train/masks/{stem}.png")}
    found = yard.examine(splits=splits)
    assert ("repeated name", ["train/images/3.bmp", "train/images/3.png"]) in found.named


def test_many_ids_of_one_class_are_known(yard, draw):
    yard.put("train/masks/3.png", draw.mask(3) * 0 + 77)
    classes = (
        ClassConfig("ground", draw.colours[0], (0, 77)),
        ClassConfig("box", draw.colours[1], (1,)),
        ClassConfig("ball", draw.colours[2], (2,)),
    )
    assert yard.examine(classes=classes).named == []


def test_a_palette_that_is_not_the_classes_own_says_nothing(yard, draw):
    coincidence = (draw.colours[2], (128, 0, 0), (0, 128, 0))
    save_palette(yard, draw, (0, 1, 2), coincidence)
    assert yard.examine().named == []


def test_optional_splits_of_official_sets_may_be_missing(yard):
    splits = {**yard.describe().splits, "extra": SplitConfig(("no/*.png",), "no/{stem}.png")}
    diagnosis = examine(yard.describe(splits=splits), source="from the server")
    assert [(found.kind, found.severity) for found in diagnosis.findings] == [
        ("split not there", "note")
    ]
    assert "split 'extra' is not examined" in diagnosis.findings[0].message
    assert "unpack the data set there (from the server)" in diagnosis.findings[0].message
    assert "YAML" not in diagnosis.findings[0].message


def test_train_of_official_sets_may_not(yard):
    splits = {**yard.describe().splits, "train": SplitConfig(("no/*.png",), "no/{stem}.png")}
    diagnosis = examine(yard.describe(splits=splits), source="from the server")
    assert [found.kind for found in diagnosis.findings] == ["unusable split"]
