"""Fixtures of every black-box test."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from testenv import Corpus, Narthex, phantom  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: minutes of work or gigabytes of disk; run with NX_LONG=1")


def pytest_collection_modifyitems(config, items):
    """What is too slow for every push is left out, unless it is asked for."""
    if os.environ.get("NX_LONG"):
        return
    late = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if not item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=late)


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
