"""Attention that counts: GINAttentionConv in a PyG model, with softmax and with sigmoid weights.

    python examples/gin_attention_in_pyg.py

On a board of mines a square says how many of its eight neighbours hide one, and half of the squares
say nothing. Whether a square is a mine is a question of counts. Softmax attention gives shares of a
neighbourhood, and forgets how large it is; sigmoid weights, summed up, with no norm after them,
count. Nothing else differs between the two models.
Test ROC-AUC on the board of seed 0: TABLE.
"""

import argparse

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.transforms import RandomNodeSplit
from torch_geometric.utils import grid

from graphattn.nn import GINAttentionConv


def board(size: int, seed: int) -> Data:
    """A square board with a fifth of mines, as a graph of neighbouring squares."""
    generator = torch.Generator().manual_seed(seed)
    mine = torch.rand(size * size, generator=generator) < 0.2
    edge_index, _ = grid(size, size)  # the eight neighbours, and the square itself
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    number = torch.zeros(size * size).index_add(0, edge_index[1], mine[edge_index[0]].float())
    shown = torch.where(torch.rand(size * size, generator=generator) < 0.5, number, 9).long()
    torch.manual_seed(seed)
    data = Data(x=F.one_hot(shown, 10).float(), edge_index=edge_index, y=mine.long())
    return RandomNodeSplit(num_val=0.25, num_test=0.25)(data)


class Counter(nn.Module):
    """Layers of GIN-attention with residual connections: an ordinary PyG model."""

    def __init__(self, normalize: str, num_layers: int = 6, channels: int = 32) -> None:
        super().__init__()
        self.lin_in, self.lin_out = nn.Linear(10, channels), nn.Linear(channels, 2)
        self.convs = nn.ModuleList(
            GINAttentionConv(
                channels, channels, heads=2, value="linear", normalize=normalize, norm=None
            )
            for _ in range(num_layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(num_layers))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of all squares."""
        x = self.lin_in(x).relu()
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(x + conv(x, edge_index)).relu()
        return self.lin_out(x)


def train(model: nn.Module, data: Data, epochs: int) -> tuple[float, float]:
    """Test ROC-AUC and accuracy at the epoch with the best validation ROC-AUC."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    best = -1.0, 0.0, 0.0
    for _ in range(epochs):
        model.train()
        logits = model(data.x, data.edge_index)
        loss = F.cross_entropy(logits[data.train_mask], data.y[data.train_mask])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            score = model(data.x, data.edge_index).softmax(dim=1)[:, 1]
        val, test = (
            float(roc_auc_score(data.y[mask], score[mask]))
            for mask in (data.val_mask, data.test_mask)
        )
        if val > best[0]:
            right = (score > 0.5).long() == data.y
            best = val, test, float(right[data.test_mask].float().mean())
    return best[1:]


def main() -> None:
    """Trains both on one board."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--size", type=int, default=60, help="squares along a side")
    args = parser.parse_args()
    data = board(args.size, seed=0)
    for normalize in ("softmax", "sigmoid"):
        torch.manual_seed(0)
        auc, accuracy = train(Counter(normalize), data, args.epochs)
        print(f"{normalize}: test ROC-AUC {auc:.3f}, test accuracy {accuracy:.3f}", flush=True)


if __name__ == "__main__":
    main()
