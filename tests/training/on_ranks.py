"""Trains a small LargeGT on several ranks, for test_distributed.py: `python on_ranks.py FOLDER`.

One process imports what is needed and forks the ranks, which is quicker than to start each anew.
"""

import json
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphattn.graph import CSRGraph
from graphattn.models.largegt import LargeGT
from graphattn.ops.ranks import ALONE, Ranks
from graphattn.sampling.store import TokenStore
from graphattn.training.distributed import joined
from graphattn.training.errors import Interrupted
from graphattn.training.feeds import TokenFeed
from graphattn.training.fitting import FitOptions, fit
from graphattn.training.options import TokenOptions


def graph_of_classes(num_train: int) -> tuple[Data, SimpleNamespace]:
    """60 nodes of 3 classes; of 33, in batches of 16, the last one has one node for all ranks."""
    generator = torch.Generator().manual_seed(3)
    y = torch.arange(60) % 3
    x = nn.functional.one_hot(y, 3).float() + 0.8 * torch.randn(60, 3, generator=generator)
    source = torch.randint(60, (240,), generator=generator)
    target = (source + 3 * torch.randint(1, 10, (240,), generator=generator)) % 60
    edge_index = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    order = torch.randperm(60, generator=generator)
    split = SimpleNamespace(train=order[:num_train], val=order[35:46], test=order[46:])
    return Data(x=x, y=y, edge_index=edge_index), split


class Signalled(TokenFeed):
    """A feed that sends its process a signal at the forward of one step."""

    left = -1
    number = signal.SIGTERM

    def forward(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """What the feed gives; before it, perhaps the signal."""
        if self.left == 0:
            os.kill(os.getpid(), self.number)
        self.left -= 1
        return super().forward(model, batch)


class Precise(nn.Module):
    """A model in float64, so that what is left of a difference is no rounding."""

    takes_tokens = True

    def __init__(self, model: LargeGT) -> None:
        super().__init__()
        self.model = model.double()

    def forward(self, rows: Tensor, *args: Any, **options: Any) -> Tensor:
        """Logits in float64."""
        return self.model(rows.double(), *args, **options)


def train(
    ranks: Ranks = ALONE,
    *,
    epochs: int = 17,
    precise: bool = False,
    num_train: int = 35,
    dropout: float = 0.0,
    reseed_below: float = 0.5,
    out: Path | None = None,
    eval_every: int = 17,
    after: int = -1,
    number: signal.Signals = signal.SIGTERM,
) -> dict[str, Any]:
    """Train, and return weights, codes, logits and curve; `after` some steps the last rank alone
    gets a signal."""
    data, split = graph_of_classes(num_train)
    store = TokenStore.in_memory(CSRGraph.from_data(data), data.x)
    feed = Signalled(
        store,
        data.y,
        split.train,
        options=TokenOptions(num_samples=4, batch_size=16, eval_batch_size=5),
        ranks=ranks,
    )
    feed.number, feed.left = number, after if ranks.rank == ranks.size - 1 else -1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: nn.Module = LargeGT(
            *(3, 8, 3),
            codebook_size=8,
            global_channels=4,
            reseed_below=reseed_below,
            dropout=dropout,
            attention_dropout=dropout,
        )
    model = Precise(model) if precise else model
    options = FitOptions(
        *("adam", 1e-3),
        epochs=epochs,
        eval_every=eval_every,
        class_weights=True,
        label_smoothing=0.1,
        save_seconds=0.0,
    )
    try:
        result = fit(model, feed, split, options=options, out=out, resume=out is not None)
    except Interrupted as error:
        return {"stopped": error.exit_code}
    curve = [(entry["loss"], entry["val"], entry["val_loss"]) for entry in result.history]
    logits = torch.cat([result.val_logits, result.test_logits])
    return {
        "weights": model.state_dict(),
        "codes": feed.codes,
        "logits": logits,
        "curve": torch.tensor(curve, dtype=torch.float64),
    }


def on_ranks(size: int, work: Callable[[Ranks], Any], save: Path | None = None) -> list[int | None]:
    """Fork ranks that do some work; the exit code of each. What each returns is saved."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE=str(size))

    def begin(rank: int) -> None:
        os.environ["RANK"] = str(rank)
        with joined("cpu", patience=60) as ranks:
            done = work(ranks)
        if save is not None:
            torch.save(done, f"{save}-{rank}.pt")

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=begin, args=(rank,)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def main(folder: Path) -> None:
    """Run what test_distributed.py compares."""
    logging.basicConfig(level=logging.INFO)
    on_ranks(2, train, folder / "two")
    precise: Any = partial(train, precise=True, num_train=33)
    on_ranks(2, precise, folder / "precise")

    fewer = partial(precise, out=folder / "fewer")
    on_ranks(4, partial(fewer, after=20), folder / "of-four")
    on_ranks(2, fewer, folder / "fewer")

    short: Any = partial(train, epochs=5, eval_every=1, dropout=0.5)
    on_ranks(2, short, folder / "dropout")
    killed = partial(short, out=folder / "killed")
    codes = on_ranks(2, partial(killed, after=8, number=signal.SIGKILL))
    on_ranks(2, killed, folder / "after-kill")
    (folder / "codes.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
