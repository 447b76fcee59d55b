"""The scores against two other packages, and their rules for what is absent."""

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_jaccard_index,
)

from eseg.metrics import ConfusionMatrix, confusion_matrix, scores

PER_CLASS: dict[str, Any] = {"average": None}


def pictures(seed=0, *, classes=7, used=None, ignored=0.1, shape=(3, 20, 31)):
    """Predictions that are right about two times in three, and masks with unlabelled pixels."""
    generator = torch.Generator().manual_seed(seed)
    used = classes if used is None else used
    mask = torch.randint(0, used, shape, generator=generator)
    guess = torch.randint(0, used, shape, generator=generator)
    prediction = mask.where(torch.rand(shape, generator=generator) < 0.6, guess)
    mask[torch.rand(shape, generator=generator) < ignored] = 255
    return prediction, mask


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_scikit_learn(ignored, seed):
    prediction, mask = pictures(seed, ignored=ignored)
    ours = scores(confusion_matrix(prediction, mask, 7))
    valid = mask != 255
    truth, guess = mask[valid].numpy(), prediction[valid].numpy()
    np.testing.assert_array_equal(
        confusion_matrix(prediction, mask, 7).numpy(), sklearn_confusion_matrix(truth, guess)
    )
    assert ours.miou == pytest.approx(jaccard_score(truth, guess, average="macro"), abs=1e-6)
    assert ours.pixel_accuracy == pytest.approx(accuracy_score(truth, guess), abs=1e-6)
    assert ours.iou == pytest.approx(jaccard_score(truth, guess, **PER_CLASS), abs=1e-6)
    assert ours.accuracy == pytest.approx(recall_score(truth, guess, **PER_CLASS), abs=1e-6)
    assert ours.support == np.bincount(truth).tolist()


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_torchmetrics(ignored, seed):
    prediction, mask = pictures(seed, ignored=ignored)
    ours = scores(confusion_matrix(prediction, mask, 7))
    rule: dict[str, Any] = {"num_classes": 7, "ignore_index": 255}
    assert torch.equal(
        confusion_matrix(prediction, mask, 7), multiclass_confusion_matrix(prediction, mask, **rule)
    )
    miou = multiclass_jaccard_index(prediction, mask, **rule)
    accuracy = multiclass_accuracy(prediction, mask, average="micro", **rule)
    assert ours.miou == pytest.approx(miou.item(), abs=1e-6)
    assert ours.pixel_accuracy == pytest.approx(accuracy.item(), abs=1e-6)


def test_a_class_that_is_nowhere_is_left_out():
    prediction, mask = pictures(classes=7, used=5)
    ours = scores(confusion_matrix(prediction, mask, 7))
    valid = mask != 255
    theirs = jaccard_score(mask[valid], prediction[valid], average="macro")  # knows of 5 only
    assert ours.miou == pytest.approx(theirs, abs=1e-6)
    assert ours.miou == scores(confusion_matrix(prediction, mask, 7), absent_counts=True).miou
    for per_class in (ours.iou, ours.accuracy):
        assert [math.isnan(value) for value in per_class] == [False] * 5 + [True] * 2
    assert ours.support[5:] == [0, 0]


def test_a_class_that_is_only_predicted_counts_where_asked():
    mask = torch.tensor([[0, 0, 1, 1]])
    prediction = torch.tensor([[0, 0, 1, 2]])
    matrix = confusion_matrix(prediction, mask, 4)
    assert scores(matrix).iou[:3] == [1.0, 0.5, 0.0]
    assert scores(matrix).miou == pytest.approx((1.0 + 0.5) / 2)
    assert scores(matrix, absent_counts=True).miou == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    theirs = jaccard_score(mask.flatten(), prediction.flatten(), average="macro")  # of 3 classes
    assert scores(matrix, absent_counts=True).miou == pytest.approx(theirs)


def test_what_is_predicted_on_unlabelled_pixels_does_not_matter():
    prediction, mask = pictures()
    changed = prediction.where(mask != 255, 255)
    assert torch.equal(confusion_matrix(changed, mask, 7), confusion_matrix(prediction, mask, 7))


def test_batches_add_up_to_the_whole():
    prediction, mask = pictures(shape=(7, 12, 13))
    parts = ConfusionMatrix(7)
    for start in range(0, 7, 2):
        parts.update(prediction[start : start + 2], mask[start : start + 2].byte())
    parts.all_reduce()  # one process: nothing to add
    assert torch.equal(parts.matrix, confusion_matrix(prediction, mask, 7))


def test_single_image_without_batch_dimension():
    prediction, mask = pictures()
    assert torch.equal(
        confusion_matrix(prediction[0].byte(), mask[0].byte(), 7),
        confusion_matrix(prediction[:1], mask[:1], 7),
    )


SHARD = """
import sys, torch
from eseg.metrics import ConfusionMatrix

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting-point", rank=rank, world_size=2
)
prediction, mask = torch.load(f"{folder}/pictures.pt", weights_only=True)
shard = ConfusionMatrix(7)
for index in range(rank, len(mask), 2):
    shard.update(prediction[index], mask[index])
shard.all_reduce()
torch.save(shard.matrix, f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
"""


def test_two_processes_each_hold_the_whole(tmp_path):
    prediction, mask = pictures(shape=(5, 12, 13))
    torch.save((prediction, mask), tmp_path / "pictures.pt")
    workers = [
        subprocess.Popen([sys.executable, "-c", SHARD, str(rank), str(tmp_path)])
        for rank in range(2)
    ]
    assert [worker.wait(timeout=100) for worker in workers] == [0, 0]
    for rank in range(2):
        matrix = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(matrix, confusion_matrix(prediction, mask, 7))


@pytest.mark.parametrize(("where", "bad"), [("mask", 7), ("prediction", 200), ("mask", -1)])
def test_an_id_outside_the_classes_is_named(where, bad):
    prediction, mask = pictures(ignored=0)
    (prediction if where == "prediction" else mask)[1, 2, 3] = bad
    with pytest.raises(ValueError, match=f"{where} holds the class id {bad}"):
        confusion_matrix(prediction, mask, 7)


def test_ignore_index_may_be_one_of_the_classes():
    prediction, mask = pictures(ignored=0)
    matrix = confusion_matrix(prediction, mask, 7, ignore_index=0)
    assert not matrix[0].any()
    assert torch.equal(matrix[1:], confusion_matrix(prediction, mask, 7)[1:])


def test_json_holds_null_for_nan():
    prediction, mask = pictures(classes=3, used=2)
    ours = scores(confusion_matrix(prediction, mask, 3))
    stored = json.loads(json.dumps(ours.to_dict(), allow_nan=False))
    assert stored["iou"] == [*ours.iou[:2], None]
    assert stored["accuracy"][2] is None
    assert stored["miou"] == ours.miou
    assert stored["support"] == ours.support


def test_nothing_labelled_has_no_score():
    ours = scores(torch.zeros(3, 3, dtype=torch.int64)).to_dict()
    assert ours["miou"] is None
    assert ours["pixel_accuracy"] is None


def test_large_counts_stay_exact():
    # Above 2**53 a float would lose the single wrong pixel on the way.
    matrix = torch.tensor([[2**53, 1], [0, 2**53]])
    assert scores(matrix).support == [2**53 + 1, 2**53]
