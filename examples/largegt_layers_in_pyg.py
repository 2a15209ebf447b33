"""LocalAttention and CodebookAttention as layers of a PyG model of one's own.

    python examples/largegt_layers_in_pyg.py

A GCN layer looks one hop away. Beside it `LocalAttention` lets every node weigh 11 nodes drawn from
two hops, and `CodebookAttention` a hundred moving averages of the whole graph: all-pairs attention
at a cost that does not grow with the graph. Each takes node features and gives node features.
Test accuracy on the digits, seed 0: .968; half a minute on two free cores, 1 GB of memory.
"""

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv

from graphattn import CodebookAttention, CSRGraph, LocalAttention, sample_neighborhood
from graphattn.datasets.bundled import digits


class ThreeViews(nn.Module):
    """One hop, sampled two hops, and the whole graph, side by side."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin_in = nn.Linear(in_channels, hidden_channels)
        self.conv = GCNConv(hidden_channels, hidden_channels)
        self.local = LocalAttention(hidden_channels, heads=1)
        self.codebook = CodebookAttention(
            hidden_channels,
            head_channels=hidden_channels,
            heads=1,
            global_channels=32,
            codebook_size=100,
        )
        self.lin_out = nn.Linear(3 * hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Logits of all nodes; `tokens` [nodes, samples] are node ids, each row's first its own."""
        x = F.relu(self.lin_in(x))
        views = [self.conv(x, edge_index), self.local(x, tokens, mask=mask), self.codebook(x)]
        x = F.dropout(F.relu(torch.cat(views, dim=1)), 0.5, self.training)
        return self.lin_out(x)


def main() -> None:
    """An ordinary PyG training loop; only the tokens are drawn anew each epoch."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    args = parser.parse_args()

    data = digits()
    graph, nodes = CSRGraph.from_data(data), torch.arange(data.num_nodes)
    torch.manual_seed(0)
    model = ThreeViews(data.num_features, 64, 10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    best = 0.0, 0.0
    for epoch in range(args.epochs):
        ids, mask, _ = sample_neighborhood(graph, nodes, 12, seed=0, epoch=epoch)
        model.train()
        logits = model(data.x, data.edge_index, ids, mask)
        loss = F.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        ids, mask, _ = sample_neighborhood(graph, nodes, 12, seed=0)
        model.eval()
        with torch.no_grad():
            right = model(data.x, data.edge_index, ids, mask).argmax(dim=1) == data.y
        val, test = (float(right[m].float().mean()) for m in (data.val_mask, data.test_mask))
        best = (val, test) if val > best[0] else best  # a tie keeps the earlier
    print(f"validation accuracy {best[0]:.3f}, test accuracy {best[1]:.3f} at that epoch")


if __name__ == "__main__":
    main()
