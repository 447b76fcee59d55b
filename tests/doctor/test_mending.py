"""What the doctor writes is a data set that training takes, and keeps all that can be kept."""

import numpy as np
import pytest
import yaml
from PIL import Image

from eseg.config import load_dataset
from eseg.data.folder import ClassConfig, Folder
from eseg.doctor import examine, examine_folder
from eseg.doctor.mending import mend, write_dataset
from eseg.errors import DataError, OutputError


def mended(diagnosis, path):
    """The samples of each split of the YAML that was written."""
    write_dataset(mend(diagnosis), path)
    config = load_dataset(path)
    return config, {split: list(Folder(config, split)) for split in config.splits}


def same_samples(ours, theirs):
    assert [sample.name for sample in ours] == [sample.name for sample in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)


@pytest.mark.parametrize("place", ["yard.yaml", "out/deep/yard.yaml", "yard/inside.yaml"])
def test_a_faultless_data_set_stays_as_it_is(yard, tmp_path, place):
    config, samples = mended(yard.examine().diagnosis, tmp_path / place)
    assert config == yard.describe(root=yard.root.resolve())
    for split, given in samples.items():
        same_samples(given, list(Folder(yard.describe(), split)))


def test_faulty_pairs_are_left_out_through_lists_beside_the_yaml(yard, draw, tmp_path):
    (yard.root / "train/masks/0.png").unlink()
    yard.put("train/masks/1.png", draw.mask(1)[::2])
    yard.put("train/masks/2.png", draw.image(2))
    (yard.root / "train/images/3.png").write_bytes(b"")
    yard.put("train/images/4.png", draw.image(7))
    path = tmp_path / "out/mended.yaml"
    _, samples = mended(yard.examine().diagnosis, path)
    assert [sample.name for sample in samples["train"]] == ["train/images/5"]
    assert len(samples["val"]) == 4
    lines = (tmp_path / "out/mended_train.txt").read_text()
    assert lines == "train/images/5.png\ttrain/masks/5.png\n"
    assert examine(load_dataset(path)).has_errors is False


def test_few_unknown_values_lose_their_label_and_many_their_mask(yard, draw, tmp_path):
    few, many = draw.mask(1), draw.mask(2) + 40
    few[5:8, 5:8] = 77
    yard.put("train/masks/1.png", few)
    yard.put("train/masks/2.png", many)
    config, samples = mended(yard.examine().diagnosis, tmp_path / "mended.yaml")
    assert config.ignore_index == (255, 77)
    names = [sample.name for sample in samples["train"]]
    assert names == [f"train/images/{index}" for index in (0, 1, 3, 4, 5)]
    assert (samples["train"][1].mask[5:8, 5:8] == 255).all()


def test_masks_that_are_all_in_the_classes_colours(yard, draw, tmp_path):
    palette = np.zeros((256, 3), np.uint8)
    palette[:3] = draw.colours
    before = {split: list(Folder(yard.describe(), split)) for split in ("train", "val")}
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(f"{split}/masks/{index}.png", palette[draw.mask(index)])
    config, samples = mended(yard.examine().diagnosis, tmp_path / "mended.yaml")
    assert config.mask_values == "colours"
    assert config.ignore_colours == ((0, 0, 0),)
    for split, expected in before.items():
        same_samples(samples[split], expected)


def test_a_bare_folder_that_must_be_divided(yard, draw, tmp_path):
    for index in range(10):
        yard.put(f"new/images/{index}.png", draw.image(index))
        yard.put(f"new/masks/{index}.png", draw.mask(index))
    config, samples = mended(examine_folder(yard.root / "new"), tmp_path / "new.yaml")
    assert {split: len(of_split) for split, of_split in samples.items()} == {"train": 8, "val": 2}
    assert (tmp_path / "new_val.txt").is_file()
    masks = {sample.name: sample.mask for split in samples.values() for sample in split}
    for index in range(10):
        assert np.array_equal(masks[f"images/{index}"], draw.mask(index))
    assert config.ignore_index == (255,)


def test_a_bare_folder_of_black_and_white_masks(yard, draw, tmp_path):
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(
                f"{split}/masks/{index}.png", np.where(draw.mask(index) == 1, 255, 0).astype("u1")
            )
    config, samples = mended(examine_folder(yard.root), tmp_path / "new.yaml")
    assert config.class_table().names == ("background", "object")
    assert (samples["train"][0].mask == (draw.mask(0) == 1)).all()


def test_all_keys_survive(yard, tmp_path):
    classes = (
        ClassConfig("ground", (90, 90, 90), (0, 9)),
        ClassConfig("box", (200, 40, 40), (1,), ((1, 2, 3),)),
        ClassConfig("ball", (40, 60, 220), (2,)),
    )
    changes = {"classes": classes, "image_suffix": ".png", "absent_counts": True}
    config, _ = mended(yard.examine(**changes).diagnosis, tmp_path / "kept.yaml")
    assert config == yard.describe(root=yard.root.resolve(), **changes)
    raw = yaml.safe_load((tmp_path / "kept.yaml").read_text())
    assert raw["root"] == "yard"


def test_nothing_left(yard, draw):
    for index in range(6, 10):
        yard.put(f"val/masks/{index}.png", draw.mask(index), format="JPEG")
    with pytest.raises(DataError, match="split 'val' of data set 'yard' has no usable pairs left"):
        mend(yard.examine().diagnosis)


def test_a_place_that_cannot_be_written(yard, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written .*another `output`"):
        write_dataset(mend(yard.examine().diagnosis), tmp_path / "file/out.yaml")


def test_a_palette_with_a_coincidence_is_not_read_by_its_colours(yard, draw, tmp_path):
    palette = np.array([draw.colours[2], draw.colours[0], (0, 128, 0)], np.uint8)
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            picture = Image.fromarray(draw.mask(index))
            picture.putpalette(palette.tobytes())
            picture.save(yard.root / f"{split}/masks/{index}.png")
    config, samples = mended(yard.examine().diagnosis, tmp_path / "mended.yaml")
    assert config.mask_values == "ids"
    assert np.array_equal(samples["train"][0].mask, draw.mask(0))


def test_an_older_list_below_the_root_does_not_count(yard, tmp_path):
    (yard.root / "train/masks/0.png").unlink()
    (yard.root / "new_train.txt").write_text("train/images/1.png\ttrain/masks/1.png\n")
    _, samples = mended(yard.examine().diagnosis, tmp_path / "new.yaml")
    assert len(samples["train"]) == 5
