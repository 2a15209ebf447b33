"""Makes the table of which pairs of graphs each normalisation separates, and reads the guide's."""

from pathlib import Path

import pytest
import torch

from graphattn.nn.gin_attention_conv import GINAttentionConv

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "gin_attention.md"
CHANNELS, HEADS = 8, 2


def graph(*edges):
    pairs = torch.tensor(edges).t()
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def ring(*nodes):
    return [(a, b) for a, b in zip(nodes, (*nodes[1:], nodes[0]), strict=True)]


STAR_2, STAR_3 = graph((0, 1), (0, 2)), graph((0, 1), (0, 2), (0, 3))
PATH_4, TRIANGLE = graph((0, 1), (1, 2), (2, 3)), graph(*ring(0, 1, 2))
HEXAGON, TRIANGLES = graph(*ring(*range(6))), graph(*ring(0, 1, 2), *ring(3, 4, 5))
PRISM = graph(*ring(0, 1, 2), *ring(3, 4, 5), (0, 3), (1, 4), (2, 5))
BIPARTITE = graph(*[(i, j) for i in (0, 1, 2) for j in (3, 4, 5)])
PAIRS = {  # and whether one round of 1-WL tells them apart
    "star-2 / star-3": (STAR_2, STAR_3, True),
    "path-4 / star-3": (PATH_4, STAR_3, True),
    "path-3 / triangle": (STAR_2, TRIANGLE, True),
    "C6 / 2 x C3": (HEXAGON, TRIANGLES, False),
    "K3,3 / prism": (BIPARTITE, PRISM, False),
}
OPTIONS = {
    "softmax, `norm=\"rms\"`": {},
    "softmax, `norm=None`": {"norm": None},
    "sigmoid, `norm=\"rms\"`": {"normalize": "sigmoid"},
    "sigmoid, `norm=None`": {"normalize": "sigmoid", "norm": None},
    "softmax, degree scalers, `norm=None`": {
        "norm": None, "scalers": ("identity", "amplification"), "deg": torch.tensor([0, 3, 3, 3]),
    },
}  # fmt: skip


def make(options):
    torch.manual_seed(0)
    layer = GINAttentionConv(CHANNELS, CHANNELS, HEADS, **options).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():  # the same for all options
            generator = torch.Generator().manual_seed(len(name))
            drawn = torch.rand(parameter.shape, dtype=torch.double, generator=generator)
            parameter.copy_(2 * drawn - 1)
    return layer


def gap(layer, one, other):
    """Largest difference of what extremes over the nodes, all alike, read of two graphs."""
    read = []
    for edge_index in (one, other):
        x = torch.ones(int(edge_index.max()) + 1, CHANNELS, dtype=torch.double)
        out = layer(x, edge_index)
        read.append(torch.cat([out.amax(0), out.amin(0)]))
    return float((read[0] - read[1]).detach().abs().max())


def table():
    rows = ["| | " + " | ".join(PAIRS) + " |", "|---" * (len(PAIRS) + 1) + "|"]
    for name, options in OPTIONS.items():
        layer = make(options)
        gaps = [gap(layer, one, other) for one, other, _ in PAIRS.values()]
        cells = ["equal" if found <= 1e-12 else f"{found:.2f}" for found in gaps]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def test_the_guide_shows_this_table():
    assert "\n".join(table()) in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("pair", PAIRS)
def test_softmax_separates_none_and_sums_what_1_wl_does(pair):
    one, other, separable = PAIRS[pair]
    for norm in ("rms", None):
        assert gap(make({"norm": norm}), one, other) <= 1e-12
    for options in ({"normalize": "sigmoid", "norm": None}, list(OPTIONS.values())[-1]):
        found = gap(make(options), one, other)
        assert found > 1e-2 if separable else found <= 1e-12
