import io

import torch
from PIL import Image
from rich.console import Console

from eseg.checkpoint import load_checkpoint
from eseg.cli.training_progress import TrainingReporter
from eseg.config import open_split
from eseg.metrics import scores
from eseg.reports.score_report import SHEET_ROWS, scores_table, write_sheet
from eseg.runtime.class_table import ClassTable


def test_the_table_has_a_row_per_class_and_dashes_where_nothing_is_defined(toy_run):
    matrix = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    classes = load_checkpoint(toy_run.folder / "best.pt").classes
    console = Console(file=io.StringIO(), width=100)
    TrainingReporter(console).show(scores_table(classes, scores(matrix).to_dict()))
    rows = {
        line.split()[1]: line.split()
        for line in console.file.getvalue().splitlines()
        if "│" in line
    }
    assert rows["ground"][3::2] == ["0.7500", "0.7500", "0.5000"]
    assert rows["box"][3::2] == ["0.8000", "1.0000", "0.5000"]
    assert rows["ball"][3::2] == ["-", "-", "0.0000"]
    assert "0.7750" in rows["mean"]


def test_a_class_may_be_called_what_it_likes():
    classes = ClassTable(("[void]", "[/b]"), ((0, 0, 0), (9, 9, 9)))
    console = Console(file=io.StringIO(), width=100)
    TrainingReporter(console).show(
        scores_table(classes, scores(torch.eye(2, dtype=torch.int64)).to_dict())
    )
    assert "│ [void]" in console.file.getvalue()
    assert "│ [/b]" in console.file.getvalue()


def test_the_sheet_shows_samples_spread_over_the_split(toy_run, tmp_path):
    checkpoint = load_checkpoint(toy_run.folder / "best.pt")
    dataset = open_split(toy_run.config.data, "val")
    write_sheet(tmp_path / "sheet.png", checkpoint, dataset, "cpu")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width > 3 * 400
        assert picture.height > min(SHEET_ROWS, len(dataset)) * 200
