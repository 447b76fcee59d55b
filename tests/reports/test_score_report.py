import torch
from PIL import Image

from eseg.checkpoint import load_checkpoint
from eseg.config import open_split
from eseg.metrics import scores
from eseg.reports.score_report import SHEET_ROWS, scores_table, write_sheet


def test_the_table_has_a_row_per_class_and_dashes_where_nothing_is_defined(toy_run):
    matrix = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    classes = load_checkpoint(toy_run.folder / "best.pt").classes
    table = scores_table(classes.names, scores(matrix).to_dict())
    assert table.rows == [
        ("ground", "0.7500", "0.7500", "0.5000"),
        ("box", "0.8000", "1.0000", "0.5000"),
        ("ball", "-", "-", "0.0000"),
    ]
    assert [row[:2] for row in table.totals] == [
        ("mean IoU", "0.7750"),
        ("pixel accuracy", "0.8750"),
    ]
    assert table.strong == {3}


def test_the_sheet_shows_samples_spread_over_the_split(toy_run, tmp_path):
    dataset = open_split(toy_run.config.data, "val")
    write_sheet(tmp_path / "sheet.png", lambda image: image[..., 0] % 3, dataset)
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 3 * 400
        assert picture.height > min(SHEET_ROWS, len(dataset)) * 200
