"""What a store is made from and of."""

import inspect

import numpy as np
import pytest
import torch

from graphattn.graph import CSRGraph
from graphattn.ops.propagate import propagate
from graphattn.sampling.recipe import Recipe, check_inputs

GRAPH = CSRGraph.from_edge_index(np.array([[0, 1, 2], [1, 2, 0]]))


def test_hops_known_before_are_not_computed_again():
    x = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    recipe = Recipe(num_hops=3, num_own_hops=1, direction="both")
    whole = {"x": x}
    whole.update(recipe.compute(GRAPH, x, dict(whole)))
    assert list(whole) == ["x", "in1", "in2", "in3", "out1", "out2", "out3"]
    for known in (["in1"], ["in2"], ["in3", "out1"], ["in1", "in2", "in3"], list(whole)):
        rest = dict(recipe.compute(GRAPH, x, {name: whole[name] for name in ["x", *known]}))
        assert set(rest) == set(whole) - {"x", *known}
        assert all(np.array_equal(rest[name], whole[name]) for name in rest)
    assert np.array_equal(whole["in3"], propagate(GRAPH, torch.from_numpy(x), 3)[:, 3])


@pytest.mark.parametrize("option", ["norm", "direction"])
def test_unknown_options_are_named(option):
    recipe = Recipe()
    object.__setattr__(recipe, option, "most")
    with pytest.raises(ValueError, match=f"{option} must be .* got 'most'"):
        inspect.unwrap(Recipe.__post_init__)(recipe)


def test_inputs_become_float32_arrays():
    arrays = check_inputs(GRAPH, torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 1), Recipe())
    assert {name: array.dtype.str for name, array in arrays.items()} == {"x": "<f4", "pe": "<f4"}


def test_positions_need_a_row_a_node():
    with pytest.raises(ValueError, match=r"pe must be \[3 nodes, channels\]: got shape \[2, 1\]"):
        check_inputs(GRAPH, torch.ones(3, 2), torch.ones(2, 1), Recipe())
