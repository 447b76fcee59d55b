import importlib.metadata
import json

from eseg.data.cores import usable_cores
from eseg.deploy.benchmark import environment
from eseg.deploy.benchmark.environment import describe_environment


def test_machine_and_versions_are_told():
    told = describe_environment(("numpy", "no-such-package"))
    assert told["numpy"] == importlib.metadata.version("numpy")
    assert told["no-such-package"] is None
    assert told["cpu"]
    assert json.loads(json.dumps(told)) == told


def test_the_cores_are_those_of_this_process():
    assert describe_environment(())["cores"] == usable_cores()


def test_an_installed_copy_has_no_commit(monkeypatch, tmp_path):
    """Not even that of a repository it happens to lie in, for that does not know the file."""
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "environment.py"))
    assert describe_environment(())["commit"] is None
