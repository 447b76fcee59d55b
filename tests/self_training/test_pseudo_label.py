"""Pseudo-labels against a slow formulation, and that interruptions leave no trace."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from eseg.checkpoint import load_checkpoint
from eseg.cli import app, spell_out_scales
from eseg.cli.screen import RichReporter
from eseg.config import load_dataset
from eseg.data.folder import Folder
from eseg.engines.torch_engine import TorchEngine
from eseg.engines.upsampling_torch import mean_probs
from eseg.errors import DataError, OutputError
from eseg.runtime.writing import LOCK, sole_writer
from eseg.self_training.pseudo_folder import PseudoFolder
from eseg.self_training.pseudo_label import PseudoLabelConfig, keep_confident, pseudo_label
from eseg.training import distributed

CPU = torch.device("cpu")
SMALL = PseudoLabelConfig(scales=(0.5, 1.0), confidence=True)
NAMES = ["0", "a/1", "a/b c/2", "a/b c/3", "d/4"]


@pytest.fixture(scope="module")
def teacher(toy_run):
    return load_checkpoint(toy_run.folder / "best.pt")


@pytest.fixture(scope="module")
def images(toy_dataset, tmp_path_factory):
    """Five of the toy images in a tree of folders, one as JPEG, and a file that is no image."""
    root = tmp_path_factory.mktemp("unlabelled")
    for index, name in enumerate(NAMES):
        path = root / f"{name}.{'jpg' if index == 1 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(toy_dataset.parent / "train" / f"{index}.png").save(path, quality=95)
    (root / "a" / "notes.txt").write_text("not an image")
    return root


@pytest.fixture(scope="module")
def whole(teacher, images, tmp_path_factory):
    """A run that nothing interrupted, in a folder of the name that all others have too."""
    output = tmp_path_factory.mktemp("whole") / "out"
    report = pseudo_label(teacher, images, output, SMALL, device=CPU)
    return SimpleNamespace(output=output, report=report)


def ids(path):
    with Image.open(path) as picture:
        assert picture.mode == "P"
        return np.array(picture)


def content(folder):
    """Every file's bytes by name; of the report all but the speed, of paths their last parts."""
    result = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "report.json":
                data = json.loads(data) | {"images_per_second": None}
            result[path.relative_to(folder).as_posix()] = data
    return result


def break_off(monkeypatch, after):
    """Let the work end as by Ctrl-C once that many images are written."""
    write, done = PseudoFolder.write, []

    def interrupted(self, *arguments):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(write(self, *arguments))

    monkeypatch.setattr(PseudoFolder, "write", interrupted)


@torch.no_grad()
def test_labels_are_those_of_the_averaged_probabilities(whole, teacher, images):
    unfolded = teacher.build_model()
    engine = TorchEngine(unfolded, teacher.describe(), device=CPU, scales=(0.5, 1.0), flip=True)
    kept = total = 0
    for path in sorted(images.rglob("*.[pj][np]g")):
        pixels = np.array(Image.open(path))[None]
        strips = mean_probs(engine.network(engine.preprocess(pixels)), pixels.shape[1:3])
        confidence, labels = torch.cat([probs for _, probs in strips], 2)[0].max(0)
        expected = torch.where(confidence > 0.5, labels, 255).numpy()
        name = path.relative_to(images).with_suffix(".png")
        ours = ids(whole.output / "labels" / name)
        assert ours.shape == expected.shape
        assert (ours == expected).mean() > 0.999  # folding changes the order of rounding
        grey = Image.open(whole.output / "confidence" / name)
        assert grey.mode == "L"
        np.testing.assert_allclose(np.array(grey) / 255, confidence.numpy(), atol=1 / 500)
        kept, total = kept + (ours != 255).sum(), total + ours.size
    assert 0.5 < kept / total < 1
    assert {p.relative_to(whole.output / "labels").as_posix() for p in finished(whole.output)} == {
        f"{name}.png" for name in NAMES
    }


def finished(output):
    return {path: path.stat().st_mtime_ns for path in (output / "labels").rglob("*.png")}


def test_a_confidence_at_the_threshold_is_ignored():
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    confidence = np.array([[0.5, 0.51, 0.7, 0.71]], np.float32)
    thresholds = np.array([0.5, 0.7], np.float32)
    np.testing.assert_array_equal(
        keep_confident(labels, confidence, thresholds), [[255, 0, 255, 1]]
    )


def test_a_class_may_have_its_own_threshold(whole, teacher, images, tmp_path):
    config = replace(SMALL, confidence=False, class_thresholds={"box": 0.9})
    report = pseudo_label(teacher, images, tmp_path / "out", config, device=CPU)
    assert [entry.threshold for entry in report.classes] == [0.5, 0.9, 0.5]
    assert not (tmp_path / "out" / "confidence").exists()
    for name in NAMES:
        before = ids(whole.output / "labels" / f"{name}.png")
        after = ids(tmp_path / "out" / "labels" / f"{name}.png")
        confidence = np.array(Image.open(whole.output / "confidence" / f"{name}.png")) / 255
        changed = before != after
        assert (before[changed] == 1).all()
        assert (after[changed] == 255).all()
        assert (confidence[changed] < 0.905).all()
        assert (confidence[after == 1] > 0.895).all()
    assert report.classes[1].kept < whole.report.classes[1].kept


def test_the_report_counts_what_is_in_the_files(whole, teacher, images):
    masks = [ids(path) for path in finished(whole.output)]
    report = json.loads((whole.output / "report.json").read_text())
    assert report == whole.report.to_dict()
    assert report["images"] == len(masks) == 5
    assert report["images_per_second"] > 0
    pixels = sum(mask.size for mask in masks)
    kept = sum((mask != 255).sum() for mask in masks)
    assert report["kept_fraction"] == pytest.approx(kept / pixels)
    assert sum(entry["predicted"] for entry in report["classes"].values()) == pixels
    for label, (name, entry) in enumerate(report["classes"].items()):
        assert name == teacher.classes.names[label]
        assert entry["kept"] == sum((mask == label).sum() for mask in masks)
        assert entry["kept_fraction"] == pytest.approx(entry["kept"] / entry["predicted"])
        assert entry["share"] == pytest.approx(entry["kept"] / kept)
    with Image.open(whole.output / "sheet.png") as sheet:
        assert sheet.width > 900
        assert len(np.unique(np.asarray(sheet.convert("L")))) > 50


def test_its_table_has_a_row_per_class_and_their_total(whole):
    table = whole.report.table()
    assert [row[0] for row in table.rows] == [entry.name for entry in whole.report.classes]
    for row, entry in zip(table.rows, whole.report.classes, strict=True):
        assert row[1:] == ["0.5", f"{entry.kept_fraction:.4f}", f"{entry.share:.4f}"]
    assert list(table.totals) == [["all", "", f"{whole.report.kept_fraction:.4f}", ""]]


def test_its_data_set_pairs_images_and_labels(whole, teacher, images):
    dataset = Folder(load_dataset(whole.report.dataset), "train")
    assert dataset.classes == teacher.classes
    assert sorted(dataset.image_paths) == sorted(images.rglob("*.[pj][np]g"))
    for sample, path in zip(dataset, dataset.mask_paths, strict=True):
        assert sample.mask.shape == sample.image.shape[:2]
        np.testing.assert_array_equal(sample.mask, ids(path))


@pytest.mark.parametrize("stops", [(0, 2), (3, 1), (5,)])
def test_broken_off_and_resumed_equals_uninterrupted(
    whole, teacher, images, tmp_path, monkeypatch, stops
):
    output = tmp_path / "out"
    before = {}
    for stop in stops:
        with monkeypatch.context() as patch:
            break_off(patch, stop)
            if stop < 5:
                with pytest.raises(KeyboardInterrupt):
                    pseudo_label(teacher, images, output, SMALL, device=CPU)
            else:
                patch.setattr(
                    "eseg.self_training.pseudo_label.write_pseudo_report", lambda *_: 1 / 0
                )
                with pytest.raises(ZeroDivisionError):
                    pseudo_label(teacher, images, output, SMALL, device=CPU)
        assert finished(output).items() >= before.items()
        before = finished(output)
        # What a process that is killed while it writes leaves behind.
        (output / "labels" / "a").mkdir(parents=True, exist_ok=True)
        (output / "labels" / "a" / ".1.png.4711").write_bytes(b"half")
        (output / ".report.json.4711").write_text("{")
    report = pseudo_label(teacher, images, output, SMALL, device=CPU)
    assert finished(output).items() >= before.items()
    assert (
        replace(report, images_per_second=None).to_dict()
        == replace(whole.report, images_per_second=None).to_dict()
    )
    ours, expected = content(output), content(whole.output)
    assert ours.keys() == expected.keys()
    for name in expected:
        if name not in ("dataset.yaml", "pairs.txt"):
            assert ours[name] == expected[name], name


def test_nothing_left_to_do_keeps_the_speed(whole, teacher, images):
    before = finished(whole.output), content(whole.output)
    again = pseudo_label(teacher, images, whole.output, SMALL, device=CPU)
    assert again == whole.report
    assert (finished(whole.output), content(whole.output)) == before


def test_other_settings_are_noticed_and_named(whole, teacher, images, tmp_path):
    before = content(whole.output)
    name, weight = next(iter(teacher.weights.items()))
    other = replace(teacher, weights=teacher.weights | {name: weight + 1e-3})
    for changed, names in (
        (
            (teacher, images, replace(SMALL, threshold=0.6)),
            r"threshold \(was 0\.5, now 0\.6",
        ),
        (
            (teacher, images, replace(SMALL, scales=(1.0,))),
            r"scales \(was \[0\.5, 1\.0\], now \[1\.0\]",
        ),
        ((teacher, images, replace(SMALL, flip=False)), r"flip \(was true, now false\)"),
        ((other, images, SMALL), "weights .was .*, now "),
        ((teacher, images / "a", SMALL), r"labels/0\.png belongs to no image in .*/a: name"),
    ):
        *arguments, config = changed
        with pytest.raises(DataError, match=names) as error:
            pseudo_label(*arguments, whole.output, config, device=CPU)
        assert "choose another `output`" in str(error.value)
        assert "\n" not in str(error.value)
    assert content(whole.output) == before


def test_images_and_labels_may_move_together_or_apart(whole, teacher, images, tmp_path):
    moved = shutil.copytree(images, tmp_path / "elsewhere" / "images")
    output = shutil.copytree(whole.output, tmp_path / "out")
    before = finished(output)
    report = pseudo_label(teacher, moved, output, SMALL, device=CPU)
    assert finished(output) == before
    assert report.fingerprint == whole.report.fingerprint
    dataset = Folder(load_dataset(report.dataset), "train")
    assert sorted(dataset.image_paths) == sorted(moved.rglob("*.[pj][np]g"))
    (moved / "new.png").write_bytes((moved / "0.png").read_bytes())
    more = pseudo_label(teacher, moved, output, SMALL, device=CPU)
    assert more.fingerprint != report.fingerprint


def test_names_that_look_like_remarks_or_blanks_stay(teacher, images, tmp_path):
    folder = tmp_path / "#images"
    names = ["#a/# b .png", " c/ d.png"]
    for name in names:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes((images / "0.png").read_bytes())
    for output in (tmp_path / "out", folder / "labels of it"):
        report = pseudo_label(teacher, folder, output, SMALL, device=CPU)
        dataset = Folder(load_dataset(report.dataset), "train")
        assert {path.relative_to(folder).as_posix() for path in dataset.image_paths} == {*names}
        assert len(dataset) == 2
        assert dataset[1].mask.shape == dataset[1].image.shape[:2]


@pytest.mark.parametrize("name", ["a\tb.png", "a\nb.png", "a\u2028b.png", "a\udcffb.png"])
def test_names_that_no_list_can_hold_are_refused_at_once(teacher, tmp_path, name):
    Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match="tabs, line breaks and bytes that are not UTF-8") as error:
        pseudo_label(teacher, tmp_path, tmp_path / "out", SMALL, device=CPU)
    str(error.value).encode()
    assert not (tmp_path / "out").exists()


def test_labels_of_another_origin_are_left_alone(teacher, images, tmp_path):
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="exists, but not from"):
        pseudo_label(teacher, images, tmp_path, SMALL, device=CPU)
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, "labels"}


def test_a_damaged_mask_is_named(whole, teacher, images, tmp_path):
    folder = PseudoFolder(tmp_path, images, teacher.classes)
    folder.label(Path("0.png")).parent.mkdir()
    Image.fromarray(ids(whole.output / "labels" / "0.png")).save(folder.label(Path("0.png")))
    with pytest.raises(DataError, match=r"labels/0\.png: not a file of `eseg pseudo-label`"):
        folder.counts(Path("0.png"))
    with pytest.raises(DataError, match=r"settings\.json.*start again"):
        folder.fingerprint([])


def test_what_cannot_be_meant_is_refused(teacher, images, tmp_path):
    for config, message in (
        (
            PseudoLabelConfig(class_thresholds={"bal": 0.5}),
            "does not know this class; did you mean 'ball'",
        ),
        (PseudoLabelConfig(class_thresholds={"ball": 1.0}), r"'ball': 1 is outside \[0, 1\)"),
        (PseudoLabelConfig(threshold=-0.1), r"`threshold` -0\.1 is outside \[0, 1\)"),
    ):
        with pytest.raises(DataError, match=message):
            pseudo_label(teacher, images, tmp_path / "out", config, device=CPU)
    with pytest.raises(ValueError, match="factors above 0"):
        pseudo_label(teacher, images, tmp_path / "out", PseudoLabelConfig(scales=()), device=CPU)
    with pytest.raises(DataError, match="no such folder"):
        pseudo_label(teacher, tmp_path / "nowhere", tmp_path / "out", device=CPU)
    for above in (images, images.parent):
        with pytest.raises(DataError, match=r"must not lie in the output folder .* choose another"):
            pseudo_label(teacher, images, above, device=CPU)
    for name in ("x.png", "x.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    with pytest.raises(DataError, match="would write the same file"):
        pseudo_label(teacher, tmp_path, tmp_path / "out", device=CPU)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is a file; name the folder"):
        pseudo_label(teacher, tmp_path / "file", tmp_path / "out", device=CPU)
    with pytest.raises(OutputError, match=r"file: cannot be written \(it is a file\)"):
        pseudo_label(teacher, images, tmp_path / "file", SMALL, device=CPU)
    with pytest.raises(OutputError, match="cannot be written"):
        pseudo_label(teacher, images, tmp_path / "file" / "out", SMALL, device=CPU)
    with (
        sole_writer(tmp_path / "used"),
        pytest.raises(OutputError, match="used: another process is writing there"),
    ):
        pseudo_label(teacher, images, tmp_path / "used", SMALL, device=CPU)


def test_a_bad_image_is_skipped_and_told(toy_run, teacher, images, tmp_path, monkeypatch):
    folder = tmp_path / "images"
    for name in ("0.png", "a/b c/2.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((images / name).read_bytes())
    (folder / "a" / "broken.png").write_bytes((images / "0.png").read_bytes()[:90])
    words = ["pseudo-label", toy_run.folder / "best.pt", "--images", folder, "--device", "cpu"]
    words += ["--output", tmp_path / "out", "--scales", "0.5", "1", "--class-threshold", "box=0.6"]
    for _ in range(2):
        result = CliRunner().invoke(app, spell_out_scales([str(word) for word in words]))
        assert result.exit_code == 1, result.output
        assert "skipped:" in result.output
        assert "broken.png" in "".join(result.output.split())
        assert "2 images" in result.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["skipped"]) == ["a/broken.png"]
    variables = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = dist.HashStore()
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(store, 0, 1)]))
    result = CliRunner().invoke(app, spell_out_scales([str(word) for word in words]))
    assert result.exit_code == 0, "or torchrun would start it all again"
    assert "skipped:" in result.output
    dataset = Folder(load_dataset(tmp_path / "out" / "dataset.yaml"), "train")
    assert len(dataset) == report["images"] == 2

    (folder / "0.png").unlink()
    (folder / "a" / "b c" / "2.png").unlink()
    with pytest.raises(DataError, match=r"no image can be read; the first: .*broken\.png"):
        pseudo_label(teacher, folder, tmp_path / "none", SMALL, device=CPU)
    result = CliRunner().invoke(app, spell_out_scales([*map(str, words[:-1]), "box"]))
    assert result.exit_code == 2
    assert "is not CLASS=NUMBER" in result.output


def test_progress_is_shown_on_a_terminal(teacher, images, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    with (tmp_path / "screen").open("w+") as file:
        console = Console(file=file, force_terminal=True, width=80)
        reporter = RichReporter(console)
        pseudo_label(teacher, images / "d", tmp_path / "out", SMALL, device=CPU, reporter=reporter)
        file.seek(0)
        assert "pseudo-labels" in file.read()
