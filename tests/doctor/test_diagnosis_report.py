"""What is printed names file, value and remedy, worst first; JSON holds the same."""

import io
import json

from rich.console import Console

from eseg.data.folder import ClassConfig
from eseg.doctor.diagnosis_report import report


def printed(diagnosis):
    file = io.StringIO()
    Console(width=160, file=file).print(report(diagnosis))
    return file.getvalue()


def test_faultless(yard):
    text = printed(yard.examine().diagnosis)
    assert "Findings" not in text
    assert "0 errors, 0 warnings, 0 notes. 10 images read" in text
    for name in ("ground", "box", "ball", "no label"):
        assert name in text
    assert "train (6 masks)" in text


def test_findings_worst_first_and_relative_to_the_root(yard, draw):
    yard.put("train/masks/2.png", draw.mask(2) * 0 + 255)
    for index in (3, 4, 5):
        yard.put(f"train/masks/{index}.png", draw.mask(index) + 9)
    text = printed(yard.examine().diagnosis)
    assert text.index("error") < text.index("warning")
    assert "train/masks/3.png: the value 8 at row 0" in text
    assert "also: train/masks/4.png, train/masks/5.png" in text
    assert "ignore_index" in text
    assert str(yard.root) not in text
    assert "1 error, 2 warnings, 0 notes" in text


def test_names_are_no_markup(yard):
    names = ("[bold]", "[/]", "[red]x")
    colours = [entry.colour for entry in yard.describe().classes]
    text = printed(yard.examine(classes=tuple(map(ClassConfig, names, colours))).diagnosis)
    assert all(name in text for name in names)


def test_json_holds_everything(yard, draw):
    yard.put("train/masks/3.png", draw.mask(3) + 9)
    plain = json.loads(json.dumps(yard.examine().diagnosis.to_dict()))
    (finding,) = plain["findings"]
    assert (finding["severity"], finding["kind"]) == ("error", "unknown value")
    assert finding["files"] == [str(yard.root / "train/masks/3.png")]
    train = plain["splits"]["train"]
    assert (train["pairs"], train["masks"]) == (6, 6)
    assert list(train["classes"]) == ["ground", "box", "ball"]
    assert plain["reading"]["pairs"] == 10
    assert plain["reading"]["pairs_per_minute"] > 0
