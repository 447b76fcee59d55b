"""The public names of the package, which import nothing before they are used."""

import subprocess
import sys

import pytest

import eseg
from eseg import runtime


def test_every_public_name_is_listed_and_there():
    assert dir(eseg) == sorted(eseg.__all__)
    assert {"train", "evaluate", "export", "Predictor", "create_model"} <= set(dir(eseg))
    for name in eseg.__all__:
        assert getattr(eseg, name) is not None
    assert eseg.Predictor is runtime.Predictor
    with pytest.raises(AttributeError, match="no attribute 'abacus'"):
        _ = eseg.abacus


def test_importing_the_package_and_its_predictor_needs_no_torch():
    code = "import sys, eseg; eseg.Predictor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
