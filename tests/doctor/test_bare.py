"""A folder without a description is found out, examined and, where it must be, divided."""

import numpy as np
import pytest

from eseg.doctor import examine_folder
from eseg.errors import DataError


def test_a_folder_with_splits(yard):
    diagnosis = examine_folder(yard.root)
    assert diagnosis.findings == ()
    assert diagnosis.is_proposed
    assert {split: len(facts) for split, facts in diagnosis.readings.splits.items()} == {
        "train": 6,
        "val": 4,
    }
    assert len(diagnosis.config.classes) == 3


def test_the_same_part_becomes_val_whatever_the_files_are_called(yard, draw):
    def divide(name):
        for index in range(10):
            yard.put(f"{name}/images/{name}{index}.png", draw.image(index))
            yard.put(f"{name}/masks/{name}{index}.png", draw.mask(index))
        diagnosis = examine_folder(yard.root / name)
        (finding,) = diagnosis.findings
        assert (finding.kind, finding.severity) == ("divided here", "note")
        splits = diagnosis.readings.splits
        return {split: {pair.image.digest for pair in splits[split]} for split in splits}

    first = divide("a")
    assert (len(first["train"]), len(first["val"])) == (8, 2)
    assert divide("b") == first


def test_equal_pictures_go_into_one_split(yard, draw):
    for index in range(10):
        for name in "ab":
            yard.put(f"new/images/{name}{index}.png", draw.image(index))
            yard.put(f"new/masks/{name}{index}.png", draw.mask(index))
    kinds = [finding.kind for finding in examine_folder(yard.root / "new").findings]
    assert "duplicate across splits" not in kinds
    assert "duplicate in a split" in kinds


def test_test_stays_apart(yard):
    (yard.root / "val").rename(yard.root / "test")
    splits = examine_folder(yard.root).readings.splits
    assert {split: len(facts) for split, facts in splits.items()} == {
        "train": 5,
        "val": 1,
        "test": 4,
    }


def test_the_odd_mask_out_is_an_error_in_the_words_of_training(yard, draw):
    yard.put("train/masks/3.png", draw.image(3))
    (finding,) = examine_folder(yard.root).findings
    assert (finding.kind, [path.name for path in finding.files]) == ("colours for ids", ["3.png"])


def test_files_without_partner_are_told(yard):
    (yard.root / "train/images/3.png").unlink()
    (yard.root / "val/masks/7.png").unlink()
    findings = {finding.kind: finding for finding in examine_folder(yard.root).findings}
    assert [path.name for path in findings["mask without image"].files] == ["3.png"]
    assert [path.name for path in findings["image without mask"].files] == ["7.png"]


def test_masks_that_cannot_be_read_at_all(yard, draw):
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(f"{split}/masks/{index}.png", draw.mask(index), format="JPEG")
    with pytest.raises(DataError, match=r"none of its masks can be read; .*0.png: .*lossy"):
        examine_folder(yard.root)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_folder_that_cannot_train_says_so(yard, draw, split):
    yard.put(f"new/{split}/images/1.png", draw.image(1))
    yard.put(f"new/{split}/masks/1.png", draw.mask(1))
    diagnosis = examine_folder(yard.root / "new")
    assert [found.kind for found in diagnosis.findings if found.severity == "error"] == [
        "missing split"
    ]


def test_a_photograph_among_the_masks_makes_no_classes(yard, draw):
    yard.put("train/masks/3.png", draw.image(3)[..., 0] * 0 + np.arange(32, dtype=np.uint8) * 7)
    diagnosis = examine_folder(yard.root)
    assert len(diagnosis.config.classes) == 3
    (finding,) = diagnosis.findings
    assert (finding.kind, [path.name for path in finding.files]) == ("unknown value", ["3.png"])


def test_names_beside_the_masks(yard):
    for split in ("train", "val"):
        (yard.root / split / "_classes.csv").write_text("Pixel Value, Class\n0, road\n1, car\n")
    names = examine_folder(yard.root).config.class_table().names
    assert names == ("road", "car", "class_2")


def test_formats_that_are_not_read_are_told(yard):
    (yard.root / "train/images/9.gif").write_bytes(b"GIF89a")
    (finding,) = examine_folder(yard.root).findings
    assert (finding.kind, finding.severity) == ("unsupported format", "note")


def test_classes_rare_in_a_small_val_of_our_own_are_no_finding(yard, draw):
    for index in range(20):
        mask = draw.mask(index)
        mask[4, 4] = 3 if index % 2 else 0
        yard.put(f"new/images/{index}.png", draw.image(index))
        yard.put(f"new/masks/{index}.png", mask)
    kinds = [found.kind for found in examine_folder(yard.root / "new").findings]
    assert "rare class" not in kinds


@pytest.mark.parametrize(("listed", "expected"), [(10, (7, 3)), (9, (8, 2))])
def test_lists_as_voc_has_them_divide_if_they_name_all(yard, draw, listed, expected):
    for index in range(10):
        yard.put(f"new/JPEGImages/{index}.png", draw.image(index))
        yard.put(f"new/SegmentationClass/{index}.png", draw.mask(index))
    lists = yard.root / "new/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("0\n1\n2\n")
    (lists / "train.txt").write_text("".join(f"{index}\n" for index in range(3, listed)))
    diagnosis = examine_folder(yard.root / "new")
    splits = diagnosis.readings.splits
    assert (len(splits["train"]), len(splits["val"])) == expected
    kinds = [found.kind for found in diagnosis.findings]
    assert kinds == (["divided here"] if listed < 10 else [])
