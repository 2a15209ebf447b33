"""Predictions of a trained run, from its folder alone."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from graphattn.building import build_feed, build_model, takes_tokens
from graphattn.config import RunConfig
from graphattn.datasets.splits import Split
from graphattn.experiment import fingerprint
from graphattn.files import read_array
from graphattn.keys import read_yaml
from graphattn.run_folder import run_folders
from graphattn.sampling.store import TokenStore
from graphattn.short_names import DATASETS, MODELS, SAMPLERS
from graphattn.store_building import build_store
from graphattn.task import Task, load_task
from graphattn.training.checkpoint import load_weights
from graphattn.training.errors import CorruptCheckpoint
from graphattn.training.feed import Feed, autocast, device_of
from graphattn.training.fingerprint import saved_fingerprint

_CHUNK = 1 << 16  # nodes predicted and written at once


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """A run read back: the best weights in the model, the data it was trained on.

    Attributes:
        config: The config as resolved.
        task: The data set.
        split: The split it was trained on.
        model: With the weights best on validation.
        feed: What feeds the model.
        store: What its tokens are drawn from, if it takes tokens.

    Example:
        >>> import tempfile
        >>> from graphattn.config import DataOptions
        >>> from graphattn.experiment import run_experiment
        >>> out = tempfile.mkdtemp()
        >>> _ = run_experiment(RunConfig(DataOptions("karate"), model="mlp", out=out))
        >>> [ids.shape for ids, _ in load_run(Path(out)).probabilities(torch.tensor([3, 1]))]
        [torch.Size([2])]
    """

    config: RunConfig
    task: Task
    split: Split
    model: nn.Module
    feed: Feed
    store: TokenStore | None = None

    def nodes(self, which: str) -> Tensor:
        """Return the node ids that `which` names.

        Args:
            which: "train", "val", "test", "all", or a file of ids: `.npy`, or text with one a line.

        Raises:
            ValueError: It is none of these, or an id is no node.
        """
        if which in ("train", "val", "test"):
            return getattr(self.split, which)
        if which == "all":
            return torch.arange(self.task.num_nodes)
        return read_ids(Path(which), self.task.num_nodes)

    def probabilities(self, nodes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield pieces of the nodes, each with its probabilities `[nodes, classes]`.

        Of several binary labels a node, the probability of each; of numbers, the number predicted.
        """
        # A model that sees the whole graph computes all nodes at once, however few are asked for.
        size = _CHUNK if takes_tokens(self.config.model) else max(len(nodes), 1)
        bar = tqdm(total=len(nodes), desc="predict", unit="node", disable=None)
        with bar:
            for chunk in torch.split(nodes, size):
                with autocast(device_of(self.model), self.config.train):
                    logits = self.feed.predict(self.model, chunk)
                yield chunk, _shares(logits.double(), self.task)
                bar.update(len(chunk))


def _shares(logits: Tensor, task: Task) -> Tensor:
    if task.y.is_floating_point():
        return logits
    return logits.sigmoid() if task.y.dim() == 2 else logits.softmax(1)


def load_run(
    run: Path,
    *,
    split: int | None = None,
    seed: int | None = None,
    root: str | None = None,
    device: str = "auto",
    trust: bool = False,
) -> TrainedRun:
    """Read a trained run back.

    Args:
        run: A run folder, or one of its split-seed folders.
        split: Which split; by default the first that was run.
        seed: Which seed; by default the first that was run.
        root: Folder of the data sets, if it is not where it was.
        device: Where to predict, wherever it was trained; by default a GPU where there is one.
        trust: Import what the run's config names; without, only what graphattn itself has.

    Raises:
        ValueError: There is no such run, its data or positions are not those it was trained on,
            or it names code of its own and is not trusted.
        graphattn.training.errors.CorruptCheckpoint: The weights, or the config, were altered or
            are torn.

    Example:
        >>> import tempfile
        >>> from graphattn.config import DataOptions
        >>> from graphattn.experiment import run_experiment
        >>> out = tempfile.mkdtemp()
        >>> _ = run_experiment(RunConfig(DataOptions("karate"), model="mlp", out=out))
        >>> len(load_run(Path(out)).nodes("test"))
        24
    """
    folders = run_folders(run)
    fitting = [
        folder
        for (p, s), folder in folders.items()
        if (split is None or p == split) and (seed is None or s == seed)
    ]
    if not fitting:
        asked = [f"{k} {v}" for k, v in (("split", split), ("seed", seed)) if v is not None]
        there = ", ".join(f"split {p} seed {s}" for p, s in folders)
        raise ValueError(f"{run} holds no run of {' and '.join(asked)}: it holds {there}.")
    folder = fitting[0]
    try:
        config = RunConfig.from_mapping(read_yaml(folder / "config.yaml"))
    except (ValueError, TypeError) as error:
        raise CorruptCheckpoint(f"{folder / 'config.yaml'} is no config of a run: {error}") from (
            error
        )
    if not trust:
        _refuse_own_code(folder, config)
    config = dataclasses.replace(config, device=device)
    if root is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=root))
    task = load_task(config.data)
    store = build_store(config, task, write=False) if takes_tokens(config.model) else None
    chosen = task.splits[config.split_list(len(task.splits))[0]]
    run_seed = config.seed_list[0]
    model = build_model(
        config, task, seed=run_seed, pe_channels=0 if store is None else store.pe_channels
    )
    feed = build_feed(config, task, chosen.train, seed=run_seed, store=store)
    if not (folder / "best").exists():
        raise ValueError(f"{folder} has no best weights yet: finish its training first.")
    about = load_weights(folder / "best", model, feed)
    trained_on, now = saved_fingerprint(folder / "best", about), fingerprint(config, task)
    for key, what in (("data_digest", config.data.name), ("pe_digest", Path(config.store.pe).name)):
        if trained_on.get(key) != now.get(key):
            raise ValueError(
                f"{folder} was trained on other data: those of {what} have changed since "
                f"(digest {trained_on.get(key)}, now {now.get(key)}). Train anew."
            )
    return TrainedRun(config, task, chosen, model, feed, store)


def _refuse_own_code(folder: Path, config: RunConfig) -> None:
    """Refuse to import what a run folder names, which may be anybody's, before anything is."""
    data = str(config.data.name)
    # A name without a dot is a file in the folder of the data sets; see `load_data`.
    own = {} if data.endswith(".npz") or "." not in data else {"data.name": data}
    own |= {"model.name": config.model, "tokens.sampler": config.store.sampler}
    known = {*DATASETS, *MODELS, *SAMPLERS}
    named = ", ".join(f"{key} {value}" for key, value in own.items() if value not in known)
    if named:
        raise ValueError(f"{folder} names code of its own ({named}): pass --trust to run it.")


def read_ids(path: Path, num_nodes: int) -> Tensor:
    """Read node ids from a file.

    Args:
        path: `.npy` of whole numbers, or text with one id a line.
        num_nodes: Ids run from 0 to num_nodes - 1.

    Raises:
        ValueError: There is no such file, it is empty, or a line of it is no node.

    Example:
        >>> read_ids(Path("tset"), 4)
        Traceback (most recent call last):
        ...
        ValueError: nodes must be train, val, test, all or a file of node ids: got 'tset'.
    """
    if not path.is_file():
        raise ValueError(
            f"nodes must be train, val, test, all or a file of node ids: got {str(path)!r}."
        )
    if path.suffix == ".npy":
        ids = read_array(path)
    else:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
            ids = np.array([int(line) for line in lines if line.strip()], dtype=np.int64)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path} must hold one whole id a line: got {_first(path)}.") from (
                error
            )
    if ids.ndim != 1 or not (ids.dtype.kind in "iu" or ids.size == 0):
        raise ValueError(f"{path} must hold one whole id a row: got {ids.dtype} {list(ids.shape)}.")
    if not ids.size:
        raise ValueError(f"{path} must hold the id of a node to predict for: got none.")
    wrong = np.flatnonzero((ids < 0) | (ids >= num_nodes))
    if len(wrong):
        raise ValueError(
            f"{path}: ids run 0..{num_nodes - 1}: got {ids[wrong[:5]].tolist()} "
            f"in rows {wrong[:5].tolist()}; {len(wrong)} in all."
        )
    return torch.from_numpy(ids.astype(np.int64))


def _first(path: Path) -> str:
    """Show the first line of a file that is no whole number."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n")):
        if line.strip() and not line.strip().isdecimal():
            return f"{line[:40]!r} in line {number + 1}"
    return "one too large"
