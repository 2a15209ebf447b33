"""What a report tells of a hypergraph: every number of its drawings stands in a table, too."""

import re

import numpy as np
import pytest
import torch
from hypergraph_cases import make

from graphattn.hypergraph import Incidence
from graphattn.training.hypergraph_section import binned, hypergraph_section


def numbers(page, heading):
    """The rows under a table's first heading."""
    table = page[page.index(f'<th scope="col">{heading}</th>') :].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>((?:<td>.*?</td>)+)', table)
    return {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}


def test_sizes_degrees_and_types_are_those_of_the_hypergraph():
    made = make(12, 7, 22)
    types = torch.tensor([0, 2, 2, 0, 0, 2, 2])
    page = hypergraph_section(made, types)
    for heading, counts in (
        ("nodes of a hyperedge", made.size()),
        ("hyperedges of a node", made.degree()),
    ):
        found = numbers(page, heading)
        for value, times in zip(*counts.unique(return_counts=True), strict=True):
            assert found[str(int(value))] == [str(int(times))]
    of_types = numbers(page, "type of hyperedge")
    assert list(of_types) == ["2", "0", "1"]
    assert of_types["1"] == ["0", "0.0"]
    mean = made.size()[types == 2].float().mean()
    assert of_types["2"] == ["4", f"{float(mean):.1f}"]
    assert page.count("<svg") == 2
    assert page.count("<section>") == page.count("</section>") == 1


@pytest.mark.parametrize("largest", [3, 900])
def test_bins_cover_all_values(largest):
    values = np.random.default_rng(0).integers(0, largest + 1, 500)
    labels, counts = binned(values)
    assert sum(counts) == 500
    for label, count in zip(labels, counts, strict=True):
        ends = [int(end) for end in label.replace(",", "").split("-")]
        assert count == ((values >= ends[0]) & (values <= ends[-1])).sum()


def test_nothing_at_all_and_many_types():
    nothing = Incidence.from_hyperedge_index(torch.zeros(2, 0, dtype=torch.long))
    assert "empty hyperedges" in hypergraph_section(nothing)
    many = Incidence.from_lists([[i, i + 1] for i in range(30)])
    page = hypergraph_section(many, torch.arange(30))
    assert "The commonest 20 of 30." in page
