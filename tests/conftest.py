"""Fixtures every test may use: where the real datasets lie."""

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real datasets, or a skip that says how to give one."""
    root = os.environ.get("GRAPHATTN_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real datasets are read from the folder GRAPHATTN_DATA, which is not set")
    return Path(root)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Turns the check of shapes at every call off, which torch.compile cannot trace."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
