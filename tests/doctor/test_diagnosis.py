"""What is printed names file, value and remedy, worst first; JSON holds the same."""

import dataclasses
import json
from pathlib import Path

from eseg.data.folder import ClassConfig
from eseg.doctor.diagnosis import balance_table, summary_line


def test_faultless(yard):
    diagnosis = yard.examine().diagnosis
    assert not diagnosis.findings
    assert summary_line(diagnosis).startswith("0 errors, 0 warnings, 0 notes. 10 images read")
    table = balance_table(diagnosis)
    assert table.headings == ("class", "train (6 masks)", "val (4 masks)")
    assert [row[0] for row in table.rows] == ["ground", "box", "ball"]
    assert [row[0] for row in table.totals] == ["no label, of all pixels"]
    assert all(cell.endswith("% (6)") for cell in [row[1] for row in table.rows])


def test_findings_worst_first_and_relative_to_the_root(yard, draw):
    yard.put("train/masks/2.png", draw.mask(2) * 0 + 255)
    for index in (3, 4, 5):
        yard.put(f"train/masks/{index}.png", draw.mask(index) + 9)
    diagnosis = yard.examine().diagnosis
    assert [finding.severity for finding in diagnosis.findings] == ["error", "warning", "warning"]
    text = diagnosis.findings[0].text(yard.root)
    assert text.startswith("unknown value (3 files)\n")
    assert "train/masks/3.png: the value 8 at row 0" in text
    assert "also: train/masks/4.png, train/masks/5.png" in text
    assert "ignore_index" in text
    assert str(yard.root) not in text
    assert summary_line(diagnosis).startswith("1 error, 2 warnings, 0 notes")


def test_no_more_files_and_classes_than_fit_on_a_screen(yard, draw):
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            yard.put(f"{split}/masks/{index}.png", draw.mask(index)[::2])
    classes = tuple(ClassConfig(f"class {label}", (label, 0, 0)) for label in range(50))
    diagnosis = yard.examine(classes=classes).diagnosis
    assert "(6 files)" in diagnosis.findings[0].text(yard.root)
    assert balance_table(diagnosis).rows[-1] == ("and 10 more", "", "")
    many = dataclasses.replace(diagnosis.findings[0], files=tuple(map(Path, "ABCDEFGHIJ")))
    assert many.text(yard.root).endswith("also: A, B, C, D, E and 5 more")


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
