"""The second source of a run's training samples, as its YAML names it."""

from pathlib import Path

import pytest
import yaml

from eseg.config import load_config, open_pseudo_labelled, open_split, to_plain
from eseg.errors import ConfigError, DataError
from eseg.runtime.class_table import ClassTable


@pytest.fixture
def write(toy_config, tmp_path):
    """Writes the YAML of a run with these values under `data.pseudo`."""

    def build(pseudo):
        plain = to_plain(toy_config())
        plain["data"]["pseudo"] = pseudo
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(plain))
        return path

    return build


def test_a_run_has_none_unless_it_says_so(toy_config, write):
    assert toy_config().data.pseudo is None
    assert open_pseudo_labelled(toy_config().data, ClassTable(("a",), ((0, 0, 0),))) is None
    assert load_config(write(None)) == toy_config()


def test_paths_are_relative_to_the_file_and_overrides_to_the_working_folder(write, tmp_path):
    path = write({"dataset": "labels/dataset.yaml", "root": "files"})
    pseudo = load_config(path).data.pseudo
    assert pseudo.dataset == tmp_path / "labels" / "dataset.yaml"
    assert pseudo.root == tmp_path / "files"
    assert (pseudo.split, pseudo.fraction) == ("train", 0.5)
    other = load_config(path, ["data.pseudo.dataset=x.yaml", "data.pseudo.fraction=0.25"])
    assert other.data.pseudo.dataset == Path.cwd() / "x.yaml"
    assert other.data.pseudo.fraction == 0.25


def test_it_opens_with_the_labelled_sets_classes(write, toy_dataset, tmp_path):
    config = load_config(write({"dataset": str(toy_dataset), "split": "val", "fraction": 0.75}))
    classes = open_split(config.data, "train").classes
    pseudo = open_pseudo_labelled(config.data, classes)
    assert (len(pseudo.dataset), pseudo.fraction) == (5, 0.75)
    turned = ClassTable(classes.names[::-1], classes.colours)
    with pytest.raises(DataError, match="class 0 is 'ground' instead of 'ball'"):
        open_pseudo_labelled(config.data, turned)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5])
def test_a_share_that_leaves_a_source_out_is_refused(write, fraction):
    with pytest.raises(ConfigError, match=r"data\.pseudo: fraction must be above 0 and below 1"):
        load_config(write({"dataset": "x.yaml", "fraction": fraction}))


def test_a_missing_data_set_says_where_it_comes_from(write, toy_dataset):
    config = load_config(write({"fraction": 0.5}))
    with pytest.raises(ConfigError, match=r"data\.pseudo\.dataset: missing.*pseudo-label"):
        open_pseudo_labelled(config.data, open_split(config.data, "train").classes)
    with pytest.raises(ConfigError, match="unknown key; did you mean 'dataset'"):
        load_config(write({"datset": "x.yaml"}))
