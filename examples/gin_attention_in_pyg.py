"""Attention that counts: GINAttentionConv in a PyG model, with softmax and with sigmoid weights.

    python examples/gin_attention_in_pyg.py

A third of the nodes of a random graph are marked, and the class of a node is whether three of its
neighbours or more are. Softmax attention gives shares of a neighbourhood and forgets how large it
is: two marked of four look like three of six. Sigmoid weights, summed up, with no norm after them,
count. Nothing else differs between the two models.
Test accuracy of seed 0: .828 with softmax, 1.000 with sigmoid; half a minute of one core.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.transforms import RandomNodeSplit
from torch_geometric.utils import erdos_renyi_graph

from graphattn.nn import GINAttentionConv


def crowd(num_nodes: int, seed: int) -> Data:
    """A random graph of six neighbours a node on average, and who has three marked ones."""
    torch.manual_seed(seed)
    edge_index = erdos_renyi_graph(num_nodes, 6 / num_nodes)
    marked = (torch.rand(num_nodes) < 1 / 3).float()
    number = torch.zeros(num_nodes).index_add(0, edge_index[1], marked[edge_index[0]])
    x = torch.stack([marked, 1 - marked], dim=1)
    data = Data(x=x, edge_index=edge_index, y=(number >= 3).long())
    return RandomNodeSplit(num_val=0.25, num_test=0.25)(data)


class TwoLayers(nn.Module):
    """Two layers of GIN-attention with residual connections: an ordinary PyG model."""

    def __init__(self, normalize: str, channels: int = 32) -> None:
        super().__init__()
        self.lin_in, self.lin_out = nn.Linear(2, channels), nn.Linear(channels, 2)
        options = {"heads": 2, "value": "linear", "normalize": normalize, "norm": None}
        self.convs = nn.ModuleList(
            GINAttentionConv(channels, channels, **options) for _ in range(2)
        )

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of all nodes."""
        x = self.lin_in(x)
        for conv in self.convs:
            x = x + conv(x, edge_index)
        return self.lin_out(x.relu())


def train(model: nn.Module, data: Data, epochs: int) -> float:
    """Test accuracy at the epoch with the best validation accuracy."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    best = 0.0, 0.0
    for _ in range(epochs):
        model.train()
        logits = model(data.x, data.edge_index)
        loss = F.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            right = model(data.x, data.edge_index).argmax(dim=1) == data.y
        val, test = (float(right[m].float().mean()) for m in (data.val_mask, data.test_mask))
        best = (val, test) if val > best[0] else best  # a tie keeps the earlier
    return best[1]


def main() -> None:
    """Trains both on the same graph."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=3_000)
    args = parser.parse_args()
    data = crowd(args.nodes, seed=0)
    for normalize in ("softmax", "sigmoid"):
        torch.manual_seed(0)
        accuracy = train(TwoLayers(normalize), data, args.epochs)
        print(f"{normalize}: test accuracy {accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
