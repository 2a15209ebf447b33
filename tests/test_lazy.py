"""What is imported when: a batch of tokens needs no PyG, which takes longer than all else."""

import subprocess
import sys

import pytest

import graphattn
from graphattn import ops, sampling

BATCH = """
import sys, torch
from graphattn import CSRGraph, TokenLoader, TokenStore, sample_neighborhood
from graphattn.sampling import BottomKSampler, random_walk, sample_fanout
graph = CSRGraph.from_edge_index(torch.tensor([[0, 1], [1, 0]]))
store = TokenStore.in_memory(graph, torch.eye(2))
list(TokenLoader(store, torch.arange(2), num_samples=2, batch_size=2))
print('torch_geometric' in sys.modules)
"""


def test_tokens_need_no_pyg():
    done = subprocess.run(
        [sys.executable, "-c", BATCH], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("package", [graphattn, ops, sampling])
def test_all_names_can_be_asked_for(package):
    for name in package.__all__:
        assert getattr(package, name).__module__.startswith("graphattn")
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'no'"):
        package.no  # noqa: B018
