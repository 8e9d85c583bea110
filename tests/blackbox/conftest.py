"""Fixtures of every black-box test."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from testenv import Corpus, Narthex, phantom  # noqa: E402


@pytest.fixture
def narthex(tmp_path):
    """A fresh site, served, stopped and checked at the end of the test."""
    with Narthex(tmp_path / "nx") as server:
        yield server


@pytest.fixture(scope="session")
def corpus():
    return Corpus()


@pytest.fixture(scope="session")
def small_files(tmp_path_factory):
    """Fifty small instances of two patients: (path, SHA-256) pairs."""
    plan = phantom.Plan(kind="small", instances=50, slices=5, series=5, rows=64, columns=64)
    return phantom.write(plan, tmp_path_factory.mktemp("small"))
