"""Folders as people have them, and the one clear sentence for each way in which they are wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eseg.data.folder import ClassConfig, Folder, FolderConfig
from eseg.data.listing import SplitConfig
from eseg.errors import DataError
from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets import Streets

ROAD, CAR, BLACK = (128, 64, 128), (64, 0, 128), (0, 0, 0)


def write_image(path, size=(4, 6), value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def write_mask(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def describe(folder, **changes):
    base = {
        "name": "yard",
        "root": folder / "data",
        "splits": {"train": SplitConfig(("images/*.png",), "labels/{stem}.png")},
        "classes": (ClassConfig("road", ROAD), ClassConfig("car", CAR)),
    }
    return FolderConfig(**(base | changes))


def load(folder, split="train", **changes):
    return Folder(describe(folder, **changes), split)


@pytest.fixture
def yard(tmp_path):
    """Two images with masks of classes 0, 1 and ignore."""
    for name in "ba":
        write_image(tmp_path / f"data/images/{name}.png", value=ord(name))
        write_mask(tmp_path / f"data/labels/{name}.png", [[0, 1, 255, 0, 1, 1]] * 4)
    return tmp_path


def test_samples(yard):
    folder = load(yard)
    assert len(folder) == 2
    assert folder.names == ("images/a", "images/b")
    assert folder.classes.names == ("road", "car")
    assert folder.classes.colours == (ROAD, CAR)
    assert [path.name for path in folder.image_paths + folder.mask_paths] == ["a.png", "b.png"] * 2
    image, mask, name = folder[1]
    assert name == "images/b"
    assert image.shape == (4, 6, 3)
    assert (image == ord("b")).all()
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1, IGNORE_INDEX, 0, 1, 1]] * 4
    with pytest.raises(IndexError):
        folder[2]


def test_many_to_one_mapping_of_16_bit_ids(yard):
    classes = (ClassConfig("road", ROAD, ids=(7, 1000)), ClassConfig("car", CAR, ids=(26,)))
    values = np.array([[7, 1000, 26, 0, 65_535, 7]] * 4, np.uint16)
    for name in "ab":
        Image.fromarray(values).save(yard / f"data/labels/{name}.png")
    folder = load(yard, classes=classes, ignore_index=(0, 65_535))
    assert folder[0].mask.tolist() == [[0, 0, 1, 255, 255, 0]] * 4


def test_32_bit_ids_stay_within_the_table(yard):
    for name, value in (("a", 1), ("b", 70_000)):
        path = yard / f"data/labels/{name}.tif"
        Image.fromarray(np.full((4, 6), value, np.int32)).save(path)
    splits = {"train": SplitConfig(("images/*.png",), "labels/{stem}.tif")}
    folder = load(yard, splits=splits)
    assert (folder[0].mask == 1).all()
    with pytest.raises(DataError, match=r"b.tif: the value 70000 at row 0"):
        folder[1]


def test_colour_masks(yard):
    lilac = (200, 0, 200)
    colours = np.array([[ROAD, CAR, lilac, BLACK, ROAD, CAR]] * 4)
    write_mask(yard / "data/labels/a.png", colours)
    colours[2, 3] = (1, 2, 3)
    write_mask(yard / "data/labels/b.png", colours)
    classes = (ClassConfig("road", ROAD), ClassConfig("car", CAR, colours=(lilac,)))
    folder = load(yard, classes=classes, mask_values="colours", ignore_colours=(BLACK,))
    assert folder[0].mask.tolist() == [[0, 1, 1, 255, 0, 1]] * 4
    with pytest.raises(
        DataError, match=r"b.png: the value \[1, 2, 3\] at row 2, column 3 .*`ignore_colours`"
    ):
        folder[1]


def test_label_of_no_class(yard):
    write_mask(
        yard / "data/labels/b.png", [[0, 1, 255, 0, 1, 1], [0, 0, 12, 12, 0, 0], *[[0] * 6] * 2]
    )
    with pytest.raises(DataError) as error:
        load(yard)[1]
    assert str(error.value) == (
        f"{yard}/data/labels/b.png: the value 12 at row 1, column 2 belongs to no class of "
        "data set 'yard' (2 such pixels); correct the mask, or add the value to a class or to "
        "`ignore_index` in the data set's YAML"
    )


def test_sizes_differ(yard):
    write_mask(yard / "data/labels/a.png", [[0] * 5] * 4)
    with pytest.raises(
        DataError, match=r"a.png: the mask is 5x4, its image .*a.png is 6x4 .* export one"
    ):
        load(yard)[0]
    write_mask(yard / "data/labels/a.png", [[0] * 4] * 6)
    with pytest.raises(DataError, match=r"the mask is 4x6, .* is 6x4 .*EXIF orientation"):
        load(yard)[0]


def test_truncated_files_are_named(yard):
    path = yard / "data/labels/a.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"labels/a.png: cannot be read, .*truncated"):
        load(yard)[0]


def test_missing_partners(yard):
    for name in "cdefg":
        write_image(yard / f"data/images/{name}.png")
    with pytest.raises(DataError) as error:
        load(yard)
    message = str(error.value)
    assert "5 of the 7 masks of split 'train' of data set 'yard' are missing" in message
    assert all(f"{yard}/data/labels/{name}.png" in message for name in "cde")
    assert "f.png" not in message
    assert "add the files, correct splits.train" in message


def test_names_are_unique(yard):
    write_image(yard / "data/images/a.jpg")
    with pytest.raises(DataError, match=r"1 names .* several images, among them 'images/a'"):
        load(yard, splits={"train": SplitConfig(("images/*",), "labels/{stem}.png")})


def test_empty_and_unknown_splits_and_roots(yard):
    with pytest.raises(DataError, match=r"no split 'test'; there are: train"):
        load(yard, split="test")
    splits = {"train": SplitConfig(("pictures/*.png",), "{stem}.png")}
    with pytest.raises(DataError, match=r"empty: pictures/\*.png gives nothing .*data.root=PATH"):
        load(yard, splits=splits)
    with pytest.raises(DataError, match=r"elsewhere: the root of data set 'yard' is not a folder"):
        load(yard, root=yard / "elsewhere")


def test_missing_images_of_a_list_file(yard):
    (yard / "data/train.txt").write_text("images/z.png labels/a.png\n")
    with pytest.raises(DataError, match=r"1 of the 1 images of split 'train' .* missing: .*z.png"):
        load(yard, splits={"train": SplitConfig(list_file="train.txt")})
    (yard / "data/train.txt").write_text("")
    with pytest.raises(DataError, match=r"split 'train' .* is empty: train.txt gives nothing in"):
        load(yard, splits={"train": SplitConfig(list_file="train.txt")})


def test_images_without_masks_have_no_labels(yard):
    folder = load(yard, splits={"train": SplitConfig(("images/*.png",))})
    assert (len(folder), folder.is_labelled, folder.mask_paths) == (2, False, ())
    assert folder[0].mask.tolist() == [[IGNORE_INDEX] * 6] * 4
    assert load(yard).is_labelled


def test_the_rule_for_classes_that_are_nowhere_true(yard):
    assert not load(yard).absent_counts
    assert load(yard, absent_counts=True).absent_counts
    assert not Streets("val").absent_counts


def test_meanings_of_values():
    classes = (ClassConfig("road", ROAD, ids=(7, 8)), ClassConfig("car", CAR, colours=((1, 2, 3),)))
    by_id = describe(Path(), classes=classes, ignore_index=(0, 255))
    assert by_id.labels_by_value() == {7: 0, 8: 0, 1: 1, 0: IGNORE_INDEX, 255: IGNORE_INDEX}
    by_colour = describe(Path(), classes=classes, mask_values="colours", ignore_colours=(BLACK,))
    assert by_colour.labels_by_value() == {ROAD: 0, CAR: 1, (1, 2, 3): 1, BLACK: IGNORE_INDEX}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ()}, "1 to 255 classes, not 0"),
        (
            {"classes": (ClassConfig("road", (1, 2, 300)),), "mask_values": "colours"},
            r"class 'road': \(1, 2, 300\) lies outside \[0, 255\]",
        ),
        (
            {"classes": (ClassConfig("road", ROAD, ids=(65_536,)),)},
            r"class 'road': 65536 lies outside \[0, 65535\]",
        ),
        (
            {"classes": tuple(ClassConfig(name, ROAD, ids=(3,)) for name in ("road", "car"))},
            "3 stands for class 'road' and for class 'car'; keep it in one",
        ),
        (
            {"classes": tuple(ClassConfig(n, ROAD) for n in "ab"), "mask_values": "colours"},
            r"\(128, 64, 128\) stands for class 'a' and for class 'b'",
        ),
        ({"ignore_index": (1,)}, "1 stands for class 'car' and for `ignore_index`"),
    ],
)
def test_values_that_cannot_be_told_apart(changes, message):
    with pytest.raises(DataError, match=message):
        describe(Path(), **changes)
