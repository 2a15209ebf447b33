"""Fixtures every test may use: where the real datasets lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets, or a skip that says how to give one."""
    root = os.environ.get("GRAPHATTN_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real datasets are read from the folder GRAPHATTN_DATA, which is not set")
    return Path(root)
