"""The network in torch: compiled it gives the same labels, or says what is missing."""

import dataclasses
import functools

import numpy as np
import pytest
import torch

from eseg.checkpoint import load_checkpoint
from eseg.errors import CheckpointError
from eseg.models import create_model
from eseg.runtime import EngineError
from eseg.runtime.predictor import Predictor


@pytest.mark.usefixtures("unchecked")
def test_the_compiled_network_gives_the_same_labels(best, predict, sample, monkeypatch, noise):
    # The same tracing as users have, but without the minutes that compiling takes.
    traced = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda *args, mode, **options: traced(*args, **options))
    compiled = Predictor(best, device="cpu", engine="compile", with_confidence=True)
    for image in (sample.image, noise(24, 20)):
        result = compiled(image)
        assert (result.labels == predict(image).labels).mean() > 0.999
        np.testing.assert_allclose(result.confidence, predict(image).confidence, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_a_network_that_cannot_be_compiled_says_what_is_missing(best, monkeypatch, noise):
    def broken(graph, inputs):
        raise RuntimeError("no working C++ compiler found\nand much more")

    traced = functools.partial(torch.compile, backend=broken)
    monkeypatch.setattr(torch, "compile", lambda *args, mode, **options: traced(*args, **options))
    compiled = Predictor(best, device="cpu", engine="compile")
    with pytest.raises(EngineError, match=r"\(no working C.*g\+\+.*engine torch") as caught:
        compiled(noise(20, 20))
    assert "\n" not in str(caught.value)


def test_networks_for_other_channels_are_refused(best):
    loaded = load_checkpoint(best)
    model = create_model(loaded.model, in_channels=4)
    changed = dataclasses.replace(loaded, model=model.config, weights=model.state_dict())
    with pytest.raises(CheckpointError, match=r"images of 4 channels"):
        Predictor(changed)
