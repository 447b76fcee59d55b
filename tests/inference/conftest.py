"""Loaders without processes of their own."""

import pytest


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    """For a handful of small images their start would take longer than all the rest."""
    monkeypatch.setattr("eseg.data.loaders.automatic_workers", lambda: 0)
