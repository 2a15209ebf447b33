"""Memory of training on hypergraphs, whole and sampled, as the hypergraph grows tenfold.

`python benchmarks/hypergraph_feed.py` trains `HypergraphTransformer` for a few steps on hypergraphs
with as many hyperedges as `SIZES` says, each in a process of its own, and writes by how much the
process grew beyond the data it holds: what a step needs. It takes some two minutes and 4 GB.
"""

import json
import subprocess
import sys
from itertools import islice

import torch
from measure import RESULTS
from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.files import write_json
from graphattn.models.hypergraph_transformer import HypergraphTransformer
from graphattn.training.feeds import FullBatchFeed
from graphattn.training.hypergraph_feed import HypergraphFeed
from graphattn.training.objective import mean_loss
from graphattn.training.options import TokenOptions
from graphattn.training.resources import peak_memory, reset_peak

SIZES = (30_000, 300_000, 3_000_000)  # hyperedges, of 3 nodes each; as many nodes
MOST_WHOLE = 300_000  # beyond this the whole is not tried
STEPS, BATCH, CHANNELS, HIDDEN, CLASSES = 20, 256, 16, 64, 8
DRAWN = {"hyperedges": 5, "members": 5}


def main() -> None:
    """Runs each size and way, and writes the table."""
    rows = []
    for way in ("sampled", "whole"):
        for size in SIZES:
            if way == "sampled" or size <= MOST_WHOLE:
                command = [sys.executable, "-W", "ignore", __file__, way, str(size)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout.splitlines()[-1]))
                print(rows[-1])
    about = {"steps": STEPS, "batch": BATCH, "hidden": HIDDEN, **DRAWN, "torch": torch.__version__}
    write_json(RESULTS / "hypergraph_feed.json", {"about": about, "rows": rows})


def one(way: str, size: int) -> None:
    """Trains a few steps and prints what they took beyond the data."""
    data = random_data(size)
    torch.manual_seed(0)
    model = HypergraphTransformer(CHANNELS, HIDDEN, CLASSES, num_layers=2)
    train = torch.arange(STEPS * BATCH)
    options = TokenOptions(batch_size=BATCH, num_hops=2, **DRAWN)
    feed = HypergraphFeed(data, train, options=options) if way == "sampled" else None
    held = feed or FullBatchFeed(data, train)
    step(model, held, 1)  # compiles kernels
    reset_peak(torch.device("cpu"))
    before = peak_memory()
    step(model, held, STEPS if way == "sampled" else 2)
    grown = (peak_memory() - before) / 1e6
    print(json.dumps({"way": way, "hyperedges": size, "step_mb": grown, "data_mb": before / 1e6}))


def step(model: HypergraphTransformer, feed: FullBatchFeed | HypergraphFeed, count: int) -> None:
    """Runs forward and backward on some batches of an epoch."""
    model.train()
    done = 0
    while done < count:
        for batch in islice(feed.train_batches(done), count - done):
            logits, y = feed.forward(model, batch)
            mean_loss(logits, y)[0].backward()
            model.zero_grad()
            done += 1


def random_data(size: int) -> HyperGraphData:
    """As many nodes as hyperedges, of three random nodes each."""
    generator = torch.Generator().manual_seed(0)
    node = torch.randint(size, (3 * size,), generator=generator)
    return HyperGraphData(
        x=torch.randn(size, CHANNELS, generator=generator),
        y=torch.randint(CLASSES, (size,), generator=generator),
        edge_index=torch.stack([node, torch.arange(size).repeat_interleave(3)]),
        num_nodes=size,
        num_hyperedges=size,
    )


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2])) if sys.argv[1:] else main()
