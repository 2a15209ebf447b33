"""What an instrument measures: the model of a run folder, or one that a user's file makes."""

import copy
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.data.hypergraph_data import HyperGraphData
from torch_geometric.nn import GCNConv

from graphattn.building import build_sampler, device_of, model_options
from graphattn.config import DataOptions, RunConfig
from graphattn.datasets.features import normalize_rows, standardize
from graphattn.datasets.splits import Split, splits
from graphattn.diagnostics.hypergraph_subject import subject_of
from graphattn.diagnostics.subject import undisturbed
from graphattn.files import read_json
from graphattn.loading import load_data
from graphattn.models.gnn import GNN
from graphattn.models.token_model import TokenModel
from graphattn.names import foreign
from graphattn.ops.adjacency import to_sparse_adjacency
from graphattn.places import coordinates, data_with_places, lengths
from graphattn.prediction import TrainedRun, read_ids
from graphattn.run_folder import run_folder
from graphattn.sampling.loader import independent
from graphattn.training.fingerprint import load_into
from graphattn.training.weights import read_weights


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """A model, the graph it is measured on, and what a report tells of both.

    Attributes:
        model: Called as `model(x, edge_index)`, with `seeds` too if it takes them.
        data: `x` and `edge_index`; `pos` in a plane where the data set has coordinates.
        raw: The data set as it is, if it may have coordinates or lengths.
        predict: From node ids to the class predicted for each; None of several labels a node.
        y: Classes of the nodes, or None.
        split: Nodes to train on, to choose by and to test on, or None.
        about: What is said of it beside what was measured.

    Example:
        >>> Diagnosed(nn.Identity(), Data(num_nodes=2), None, None, None, None).nodes("all")
        tensor([0, 1])
    """

    model: nn.Module
    data: Data
    raw: Data | None
    predict: Callable[[Tensor], Tensor] | None
    y: Tensor | None
    split: Split | None
    about: dict[str, Any] = field(default_factory=dict)

    def measured_by(self, distance: str) -> str | None:
        """Put what a distance needs beside the data, and return its unit; None: as it is named.

        Raises:
            ValueError: The data set has no lengths, for "weight".
        """
        place = None if self.raw is None else coordinates(self.raw)
        if distance == "euclid" and place is not None:
            return place[1]
        if distance != "weight":
            return None
        found, unit = lengths(self.raw if self.raw is not None else Data(), self.data.edge_index)
        if not isinstance(self.data.get("edge_weight"), Tensor):
            # The lengths are the instrument's; a model that takes weights is given none, as before.
            vars(self.model)["supports_edge_weight"] = False
        self.data.edge_weight = found.to(self.data.x.device)
        return unit

    def nodes(self, which: str) -> Tensor:
        """Return the node ids that `which` names: train, val, test, all, or a file of ids.

        Raises:
            ValueError: It is none of these, or the data have no split.
        """
        count = int(self.data.num_nodes or 0)
        if which == "all":
            return torch.arange(count)
        if which not in ("train", "val", "test"):
            return read_ids(Path(which), count)
        if self.split is None:
            raise ValueError(f"seeds must be all or a file of ids: got {which} of data unsplit.")
        return getattr(self.split, which)


def of_run(trained: TrainedRun, run: Path, *, follow: bool = False) -> Diagnosed:
    """Take the model of a run as it predicts, with the tokens of its evaluation.

    Args:
        trained: The run, read back.
        run: Its folder.
        follow: Let codebooks stand for the nodes they are given; see `TokenModel.node_forward`.

    Raises:
        ValueError: It was trained with label inputs, which depend on the node that is asked for.

    Example:
        >>> of_run.__name__
        'of_run'
    """
    config, task, model = trained.config, trained.task, trained.model
    if config.labels.label_inputs:
        raise ValueError(
            "a run with train.label_inputs cannot be diagnosed, because what its model is given "
            f"depends on the node asked for: got {config.labels.label_inputs:g} in {run}."
        )
    device = device_of(config)
    data = task.data.to(device)
    about: dict[str, Any] = {"model": config.model.rpartition(".")[2], "data": config.data.title}
    about |= _run_facts(config, run, len(task.splits))
    options = model_options(config.model, config.model_options)
    about |= {"depth": options["num_layers"]} if "num_layers" in options else {}
    raw = None if isinstance(data, HyperGraphData) else data_with_places(config.data)
    _place(data, raw)
    if isinstance(model, TokenModel):
        model = _Tokens(trained, follow).to(device)
        about["codebook"] = "stands for the nodes of x" if follow else "as trained, held fixed"
    elif follow:
        raise ValueError(f"--follow is of models with a codebook: got {config.model}.")
    elif not isinstance(data, HyperGraphData):
        model = _called_with_edges(model)

    def predict(nodes: Tensor) -> Tensor:
        return trained.feed.predict(trained.model, nodes).argmax(1)

    y = None if task.y.is_floating_point() else task.y
    of_classes = predict if y is not None and y.dim() == 1 else None
    return Diagnosed(model, data, raw, of_classes, y, trained.split, about)


def of_file(
    maker: str, checkpoint: Path | None, options: DataOptions, *, device: str = "auto"
) -> Diagnosed:
    """Take a model of the user's own, made by a function in a file of theirs, which is run.

    Args:
        maker: `path/to/file.py:function`. It is given `in_channels` and `out_channels` if it names
            them, and returns a module called as `model(x, edge_index)`.
        checkpoint: A `state_dict` in `.safetensors`, or of `torch.save`; nothing in it is run.
            None: the weights are those the function leaves.
        options: The data, of which the features are "none" by default: as they are.
        device: Where to measure.

    Raises:
        ValueError: There is no such file or function, or the checkpoint is of another model.
        TypeError: The function returned no module.
        CorruptCheckpoint: The checkpoint is torn, or holds more than tensors.

    Example:
        >>> of_file("nowhere.py:build", None, DataOptions("karate"))
        Traceback (most recent call last):
        ...
        ValueError: model must be FILE.py:FUNCTION, a file that exists: got 'nowhere.py:build'.
    """
    make = _function(maker)
    data = load_data(options)
    x, edge_index, y = data.get("x"), data.edge_index, data.get("y")
    if not isinstance(x, Tensor):
        raise ValueError(f"{options.title} must have features x to be measured: got none.")
    if options.features in ("standardize", "row"):
        x = standardize(data).x if options.features == "standardize" else normalize_rows(data).x
    y = y.view(-1) if isinstance(y, Tensor) and y.shape[1:] == (1,) else y
    model = _made(make, maker, x.size(1), y)
    if checkpoint is not None:
        load_into(model, read_weights(checkpoint), checkpoint)
    where = device_of(RunConfig(options, device=device))
    model, edges = model.to(where), ("edge_weight", "edge_attr")
    kept = {key: data[key] for key in edges if isinstance(data.get(key), Tensor)}
    measured = Data(x=x, edge_index=edge_index, **kept).to(where)
    if isinstance(data, HyperGraphData):
        measured = data.clone().update({"x": x}).to(where)
    about: dict[str, Any] = {"model": maker.rpartition("/")[2], "data": options.title}
    about["weights"] = str(checkpoint or "as the function leaves them")
    if isinstance(depth := getattr(model, "num_layers", None), int):
        about["depth"] = depth
    with foreign(maker, "--model"), undisturbed(model), torch.no_grad():
        subject = subject_of(model, measured)
        shape = subject.whole(measured.x).shape
    _place(measured, data)

    def predict(nodes: Tensor) -> Tensor:
        with undisturbed(model), torch.no_grad():
            return subject.whole(measured.x).argmax(1).cpu()[nodes]

    classes = isinstance(y, Tensor) and y.dim() == 1 and shape[1] > int(y.max())
    split = splits(data)[0] if "train_mask" in data else None
    labels = y if isinstance(y, Tensor) else None
    return Diagnosed(model, measured, data, predict if classes else None, labels, split, about)


class _Tokens(nn.Module):
    """A token model of a run as a function of features and edges, with its evaluation's tokens."""

    def __init__(self, trained: TrainedRun, follow: bool) -> None:
        super().__init__()
        config, self.model = trained.config, trained.model
        gather_pe = trained.store.gather_pe if trained.store is not None else None
        nodes = torch.arange(trained.task.graph.num_nodes)
        self._pe = None if gather_pe is None else gather_pe(nodes)
        self._options: dict[str, Any] = {
            "sampler": independent(build_sampler(config)),
            "num_samples": config.tokens.num_samples,
            "pool": config.tokens.pool,
            "norm": config.store.norm,
            "seed": config.seed_list[0],
            "follow": follow,
        }

    def forward(self, x: Tensor, edge_index: Tensor, seeds: Tensor) -> Tensor:
        """Logits of some nodes."""
        pe = None if self._pe is None else self._pe.to(x.device)
        model: Any = self.model
        return model.node_forward(x, edge_index, seeds, pe=pe, **self._options)


class _Sparse(nn.Module):
    """A model that takes the adjacency as a sparse matrix, given edges."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of all nodes."""
        return self.model(x, to_sparse_adjacency(edge_index, x.size(0)).to(x))


def _called_with_edges(model: nn.Module) -> nn.Module:
    """A model of the whole graph in the form that engines know best, with the same outputs."""
    if isinstance(model, GNN) and hasattr(model.net, "num_layers"):
        net = copy.deepcopy(model.net)  # PyG's own, which normalises for itself
        for conv in net.convs:
            if isinstance(conv, GCNConv):
                conv.normalize = conv.add_self_loops = True
        return net
    ours = type(model).__module__.startswith("graphattn.")
    return model if ours or getattr(model, "wants_edge_index", False) else _Sparse(model)


def _place(data: Data, raw: Data | None) -> None:
    if raw is not None and not isinstance(raw, HyperGraphData) and (place := coordinates(raw)):
        data.pos = place[0]


def _run_facts(config: RunConfig, run: Path, num_splits: int) -> dict[str, Any]:
    """Which run it is, and how well it did."""
    split, seed = config.split_list(num_splits)[0], config.seed_list[0]
    facts: dict[str, Any] = {"run": str(run), "run_split": split, "run_seed": seed}
    folder = run if run.name == run_folder(run, split, seed).name else run_folder(run, split, seed)
    if (folder / "result.json").is_file():
        result = read_json(folder / "result.json")
        facts |= {key: result[key] for key in ("metric", "test") if key in result}
    return facts


def _function(maker: str) -> Callable[..., Any]:
    """Run a file of the user's own and return a function of it."""
    file, _, name = maker.rpartition(":")
    path = Path(file)
    if not name.isidentifier() or path.suffix != ".py" or not path.is_file():
        raise ValueError(f"model must be FILE.py:FUNCTION, a file that exists: got {maker!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"model must be a file of Python: got {file!r}.")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # what lies beside it, it may import
    try:
        with foreign(maker, "--model"):
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not callable(make := getattr(module, name, None)):
        raise ValueError(f"model must be a function of {file}: there is no {name!r} in it.")
    return make


def _made(make: Callable[..., Any], maker: str, channels: int, y: Any) -> nn.Module:
    classes = y.size(1) if isinstance(y, Tensor) and y.dim() == 2 else 0
    sizes = {"in_channels": channels}
    if isinstance(y, Tensor):
        sizes["out_channels"] = classes or int(y.max()) + 1
    named = inspect.signature(make).parameters
    with foreign(maker, "--model"), torch.random.fork_rng():
        torch.manual_seed(0)  # weights that no checkpoint replaces are the same each time
        model = make(**{key: size for key, size in sizes.items() if key in named})
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must make a torch module: {maker} gave {type(model).__name__}.")
    return model
