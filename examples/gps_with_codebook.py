"""A GPS model with global attention on 100,000 nodes: a codebook stands for all of them.

    python examples/gps_with_codebook.py

Dense attention of 100,000 nodes to each other has ten billion scores a head: 40 GB of them. A
codebook of 256 moving averages stands for all nodes, and `GPSLayer` takes it as it takes any other
attention; PyG's GPSConv would leave it out without a word. The graph is a made road network whose
classes say how far 16 steps reach, from City-Networks' recipe.
Test accuracy of seed 0: .28 (guessing: .10); 13 s an epoch on a busy machine, 3.8 GB at most.
"""

import argparse
import resource
import time

import torch
from torch.nn import functional as F
from torch_geometric.nn import SAGEConv

from graphattn.datasets.road import road
from graphattn.nn import CodebookAttention, GPSLayer, GPSStack


def layer(channels: int) -> GPSLayer:
    """GraphSAGE along roads, beside attention to a codebook of the whole city."""
    attn = CodebookAttention(
        channels,
        head_channels=channels // 2,
        heads=2,
        global_channels=channels,
        codebook_size=256,
        reseed_below=1.0,  # codes that no node is near go to where nodes are
    )
    return GPSLayer(channels, SAGEConv(channels, channels), attn)


def main() -> None:
    """An ordinary full-batch loop over one large graph."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--nodes", type=int, default=100_000)
    args = parser.parse_args()

    data = road(args.nodes)
    torch.manual_seed(0)
    model = GPSStack(data.num_features, 10, [layer(64) for _ in range(4)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-3)
    start, best = time.perf_counter(), (0.0, 0.0)
    for epoch in range(args.epochs):
        model.train()
        logits = model(data.x, data.edge_index)
        loss = F.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 5 == 4 or epoch == args.epochs - 1:
            model.eval()
            with torch.no_grad():
                right = model(data.x, data.edge_index).argmax(dim=1) == data.y
            val, test = (float(right[m].float().mean()) for m in (data.val_mask, data.test_mask))
            best = max(best, (val, test))
            print(f"epoch {epoch + 1}: loss {loss.item():.3f}, validation {val:.3f}", flush=True)
    seconds = (time.perf_counter() - start) / args.epochs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"test accuracy {best[1]:.3f}; {seconds:.1f} s an epoch, {peak:.1f} GB at most")


if __name__ == "__main__":
    main()
