"""Options of the adapter: checked when made, there and back through JSON."""

import json

import pytest

from graphattn.adapters import Site, SparseGINConfig


def test_the_effective_cut_joins_both_options():
    assert SparseGINConfig().effective_cut == pytest.approx(0.1405, abs=1e-4)
    assert SparseGINConfig(cutoff=0.5, threshold=0.3).effective_cut == pytest.approx(0.3)
    assert SparseGINConfig(sharpness=0.0, cutoff=0.2).effective_cut == 0.2
    assert SparseGINConfig(cutoff=0.0).effective_cut == float("-inf")


def test_options_survive_json():
    config = SparseGINConfig(
        layers=(0, 2), scale_init=(0.0, 0.5), sites=Site("a", None, "b"), causal=True
    )
    assert SparseGINConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(
        ValueError, match=r"options of SparseGINConfig must be some of .*: got rank"
    ):
        SparseGINConfig.from_dict({"rank": 4})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mode": "both"}, "mode must be one of single, per_head: got 'both'"),
        ({"backend": "flash"}, "backend must be one of auto, eager, chunked: got 'flash'"),
        ({"head_agg": "max", "mode": "per_head"}, "head_agg is of mode="),
        ({"adjacency": "diagonal", "self_loops": False}, "needs self_loops=True"),
        ({"causal": False}, "causal must be 'auto' or True: got False"),
        ({"cutoff": 1.0}, r"cutoff must be in \[0, 1\): got cutoff=1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\)"),
        ({"mlp_ratio": 0.0}, "mlp_ratio must be above 0"),
        ({"sharpness": -1.0}, "sharpness must be at least 0"),
        ({"scale_init": (0.0, 0.1, 0.2)}, "scale_init must be one number, or"),
        ({"hidden_dim": 0}, "hidden_dim must be at least 1: got hidden_dim=0"),
        ({"norm": "layer"}, "norm must be one of rms: got 'layer'"),
    ],
)
def test_errors_say_what_would_be_right(options, words):
    with pytest.raises(ValueError, match=words):
        SparseGINConfig(**options)


def test_an_unknown_option_raises():
    with pytest.raises(TypeError, match="rank"):
        SparseGINConfig(rank=4)
