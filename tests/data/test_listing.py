"""Patterns, list files and templates: which mask belongs to which image."""

from pathlib import PurePosixPath

import pytest

from eseg.data.listing import SplitConfig, list_pairs
from eseg.errors import DataError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def pairs(root, split, image_suffix=""):
    return [(str(image), str(mask)) for image, mask in list_pairs(root, split, image_suffix)]


def test_patterns(tmp_path):
    touch(tmp_path, "images/b.png", "images/a.png", "images/c.jpg", "labels/a.png")
    split = SplitConfig(("images/*.png",), "labels/{stem}.tif")
    assert pairs(tmp_path, split) == [
        ("images/a.png", "labels/a.tif"),
        ("images/b.png", "labels/b.tif"),
    ]
    assert all(isinstance(path, PurePosixPath) for path in list_pairs(tmp_path, split, "")[0])
    assert pairs(tmp_path, SplitConfig(("pictures/*",), "{stem}")) == []


def test_several_patterns_overlap_without_doubling_and_hidden_files_are_skipped(tmp_path):
    touch(tmp_path, "images/._a.png", "images/a.png", "images/b.jpg", "images/folder.png/x")
    split = SplitConfig(("images/*.png", "images/*.jpg", "images/a.*"), "labels/{stem}.png")
    assert [image for image, _ in pairs(tmp_path, split)] == ["images/a.png", "images/b.jpg"]


@pytest.mark.parametrize("pattern", ["*/*_leftImg8bit.png", "**/*_leftImg8bit.png"])
def test_suffixes_and_subfolders(tmp_path, pattern):
    stems = ("aachen/aachen_01", "bonn/bonn_01", "bonn/bonn_02")
    touch(tmp_path, *(f"leftImg8bit/train/{stem}_leftImg8bit.png" for stem in stems))
    split = SplitConfig(
        (f"leftImg8bit/train/{pattern}",), "gtFine/train/{folder}/{stem}_gtFine_labelIds.png"
    )
    assert pairs(tmp_path, split, "_leftImg8bit.png") == [
        (f"leftImg8bit/train/{stem}_leftImg8bit.png", f"gtFine/train/{stem}_gtFine_labelIds.png")
        for stem in stems
    ]
    with pytest.raises(DataError, match=r"leftImg8bit.png: .* end in image_suffix '_x.png'"):
        pairs(tmp_path, split, "_x.png")


def test_the_folder_is_the_one_below_the_fixed_part_of_the_pattern(tmp_path):
    touch(tmp_path, "a/b/c/d.png")
    for pattern, folder in (("a/b/c/*.png", "."), ("a/*/c/*.png", "b/c"), ("**/*.png", "a/b/c")):
        split = SplitConfig((pattern,), "masks/{folder}/{stem}.png")
        ((_, mask),) = list_pairs(tmp_path, split, "")
        assert mask == PurePosixPath("masks", folder, "d.png")


@pytest.mark.parametrize(
    ("lines", "split"),
    [
        ("images/b.png labels/b.png\n\n# a comment\nimages/a.png\tlabels/a.png\n", {}),
        ("images/b.png\nimages/a.png\n", {"masks": "labels/{stem}.png"}),
        ("b\r\na\r\n", {"images": ("images/{line}.png",), "masks": "labels/{stem}.png"}),
    ],
)
def test_list_files(tmp_path, lines, split):
    (tmp_path / "train.txt").write_text(lines)
    assert pairs(tmp_path, SplitConfig(list_file="train.txt", **split)) == [
        ("images/a.png", "labels/a.png"),
        ("images/b.png", "labels/b.png"),
    ]


def test_list_file_names_with_spaces_and_folders(tmp_path):
    (tmp_path / "list.txt").write_text("north/my yard.png\n")
    split = SplitConfig(("images/{line}",), "labels/{folder}/{stem}.png", "list.txt")
    assert pairs(tmp_path, split) == [("images/north/my yard.png", "labels/north/my yard.png")]
    (tmp_path / "list.txt").write_text("images/my yard.png\tlabels/my yard.png\n")
    assert pairs(tmp_path, SplitConfig(list_file="list.txt")) == [
        ("images/my yard.png", "labels/my yard.png")
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("images/a.png\n", r"train.txt: line 1: expected an image and a mask, got 'images/a.png'"),
        ("a b c\n", r"train.txt: line 1: expected an image and a mask, got 'a b c'; put a tab"),
        ("\n/etc/a.png x.png\n", r"train.txt: line 2: .* leaves the root"),
        ("../a.png x.png\n", r"train.txt: line 1: .* leaves the root"),
    ],
)
def test_wrong_list_files(tmp_path, lines, message):
    (tmp_path / "train.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        pairs(tmp_path, SplitConfig(list_file="train.txt"))


def test_missing_list_file(tmp_path):
    with pytest.raises(DataError, match=r"gone.txt: the list file cannot be read .*list_file"):
        pairs(tmp_path, SplitConfig(list_file="gone.txt"))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({}, "needs `images`, with `masks` for them, or a `list_file`"),
        ({"masks": "{stem}.png"}, "needs `images`, with `masks` for them, or a `list_file`"),
        ({"list_file": "a.txt", "lines": ("a b",)}, "has a `list_file` and `lines`; keep one"),
        ({"images": ("../*.png",), "masks": "{stem}.png"}, r"'../\*.png' leaves the root"),
        ({"images": ("*.png",), "masks": "/x/{stem}.png"}, "'/x/{stem}.png' leaves the root"),
        ({"images": ("*.png",), "masks": "mask.png"}, r"masks: 'mask.png' has no \{stem\}"),
        (
            {"images": ("*.png",), "list_file": "a.txt"},
            r"`images` is one path with \{line",
        ),
        ({"images": ("{line}", "{line}"), "list_file": "a.txt"}, "`images` is one path"),
    ],
)
def test_splits_that_describe_no_pairs(split, message):
    with pytest.raises(DataError, match=message):
        SplitConfig(**split)


def test_without_masks(tmp_path):
    touch(tmp_path, "images/b.png", "images/a.png")
    split = SplitConfig(("images/*.png", "images/b.*"))
    assert not split.is_labelled
    images = ["images/a.png", "images/b.png"]
    assert list_pairs(tmp_path, split, "") == [(PurePosixPath(path), None) for path in images]


def test_lines_are_those_of_a_list_file(tmp_path):
    lines = ("north/b", "# a comment", "north/a")
    split = SplitConfig(("images/{line}.png",), "labels/{folder}/{stem}.png", lines=lines)
    assert split.is_labelled
    (tmp_path / "list.txt").write_text("\n".join(lines))
    listed = SplitConfig(split.images, split.masks, "list.txt")
    assert pairs(tmp_path, split) == pairs(tmp_path, listed)
    assert pairs(tmp_path, split)[0] == ("images/north/a.png", "labels/north/a.png")
    both = SplitConfig(lines=("images/a.png\tlabels/a.png",))
    assert pairs(tmp_path, both) == [("images/a.png", "labels/a.png")]
    with pytest.raises(DataError, match=r"`lines`: line 1: expected an image and a mask, got 'x'"):
        pairs(tmp_path, SplitConfig(lines=("x",)))
