"""The page about self-training; what it says of real runs is tested with them."""

from pathlib import Path

import pytest

from eseg.self_training.pseudo_report import ClassReport, PseudoReport
from eseg.self_training.rounds_report import Round, Trained, write_rounds_report


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, None),
        (2, "read: 2, namely `a/0.png`, `a/1.png` (`report.json`"),
        (5, "read: 5, namely `a/0.png`, `a/1.png`, `a/2.png`, `a/3.png`, `a/4.png` (`report.json`"),
        (9, "`a/3.png`, `a/4.png` and 4 more (`report.json`"),
    ],
)
def test_skipped_images_are_counted_and_the_first_are_named(tmp_path, count, said):
    labels = PseudoReport(
        dataset=tmp_path / "dataset.yaml",
        sheet=tmp_path / "sheet.png",
        fingerprint="",
        images=3,
        skipped={f"a/{index}.png": "damaged" for index in range(count)},
        images_per_second=None,
        classes=(ClassReport("road", threshold=0.5, predicted=8, kept=2, share=1.0),),
    )
    scores = {"iou": [0.5], "miou": 0.5, "pixel_accuracy": 0.5}
    network = Trained(Path("best.pt"), ("road",), scores, is_best_of_run=True)
    page = write_rounds_report(tmp_path, network, [Round(labels, network)]).read_text()
    assert "3 images; 25.0% of their pixels kept." in page
    assert ("Skipped" in page) == (said is not None)
    assert (said or "") in page
