"""The toy network as users have it: a checkpoint, a predictor, something to look at."""

import jaxtyping
import numpy as np
import pytest

from eseg.config import open_split
from eseg.inference.predictor import Predictor


@pytest.fixture(scope="session")
def best(toy_run):
    return toy_run.folder / "best.pt"


@pytest.fixture(scope="session")
def predict(best):
    return Predictor(best, device="cpu", with_confidence=True)


@pytest.fixture(scope="session")
def sample(toy_run):
    return open_split(toy_run.config.data, "val")[0]


@pytest.fixture(scope="session")
def noise():
    """Makes an image in which neighbours differ."""

    def make(height, width):
        return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    return make


@pytest.fixture
def unchecked():
    """As users call it: the compiler cannot trace the tests' checks of annotations."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
