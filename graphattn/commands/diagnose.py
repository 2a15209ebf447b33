"""`graphattn diagnose`: how far a model sees, of a run folder or of a model of the user's own."""

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data.hypergraph_data import HyperGraphData
from torch_geometric.nn import MessagePassing
from tqdm import tqdm

from graphattn.arguments import Arguments
from graphattn.config import DataOptions
from graphattn.diagnosis import Diagnosed, of_file, of_run
from graphattn.diagnostics.influence import influence
from graphattn.diagnostics.result import InfluenceResult
from graphattn.diagnostics.smoothing import layer_energy
from graphattn.diagnostics.structure import structural_influence
from graphattn.outputs import output_file
from graphattn.prediction import load_run
from graphattn.run_folder import run_folders

SEEDS = "all, train, val, test, or a file of ids (.npy, or text with one a line)"
_MOST_NODES = 1_000_000  # of which the outputs of all layers are held at once
_OF_A_RUN = ("split", "seed", "trust", "follow")
_OF_A_FILE = ("data", "ckpt", "features")


def main(argv: Sequence[str]) -> int:
    """Run `graphattn diagnose`: measure the influence of each hop, print it, write a page.

    Example:
        >>> main(["runs/none"])
        Traceback (most recent call last):
        ...
        ValueError: runs/none is no run folder: ...
    """
    args = _parser().parse_args(list(argv))
    args.num_seeds = _number(args.num_seeds, "--num-seeds", "auto")
    args.channels = _number(args.channels, "--channels", "all")
    _check(args)
    command = shlex.join(["graphattn", "diagnose", *argv])
    diagnosed = _diagnosed(args)
    unit = diagnosed.measured_by(args.distance)
    seeds = _seeds(diagnosed, args)
    with _bar() as told:
        found = influence(
            diagnosed.model,
            diagnosed.data,
            max_hops=args.max_hops,
            seeds=seeds,
            num_seeds=args.num_seeds,
            tol=args.tol,
            channels=args.channels,
            semantics=args.semantics,
            distance=args.distance,
            input_scale=None if args.input_scale == "none" else args.input_scale,
            seed=args.draw_seed,
            engine=args.engine,
            progress=told,
        )
    about = {**diagnosed.about, **({"unit": unit} if unit else {})}
    about |= {"model": args.name} if args.name else {}
    found = replace(found, about={**about, "seeds": args.seeds, **found.about})
    print(found)
    if args.json is not None:
        found.save(args.json)
        print(f"measured: {args.json}")
    if args.html is not None:
        print(f"report: {_report(found, diagnosed, args.html, command)}")
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        prog="graphattn diagnose",
        usage="graphattn diagnose RUN [options], or\n"
        "       graphattn diagnose --model FILE.py:FUNCTION --data NAME [--ckpt FILE] [options]",
        description="Measure how far a model sees: the influence of each hop on what it says.",
    )
    parser.add_argument(
        "run", type=Path, nargs="?", help="run folder, or one of its split-seed folders"
    )
    add = parser.add_argument
    add("--html", type=Path, help="page to write, ends in .html")
    add("--json", type=Path, help="file of the figures for compare, ends in .json, .npz or .csv")
    add("--max-hops", type=int, default=16, help="farthest hop told apart [16]")
    add("--tol", type=float, default=0.01, help="half the 95 %% interval of R, as a share [0.01]")
    add("--num-seeds", default="auto", help="nodes to draw [until --tol]")
    add("--seeds", default="all", help=f"nodes: {SEEDS}; all but all are all measured [all]")
    add("--channels", default="all", help="outputs followed a seed [all]")
    add("--distance", default="hops", help="hops, weight, euclid, ...: what R is counted in [hops]")
    add("--semantics", default="full", help="full, or pyg: balls cut out of the graph [full]")
    add("--input-scale", default="none", help="none, or std: features in deviations [none]")
    add("--engine", default="auto", help="auto, fused, trimmed, union or single [auto]")
    add("--draw-seed", type=int, default=0, help="of the draws of nodes and channels [0]")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... [auto]")
    add("--root", help="folder of the data sets, if it is not where it was [GRAPHATTN_DATA]")
    add("--name", help="what the model is called on pages [its own name]")
    run = parser.add_argument_group("of a run folder")
    run.add_argument("--split", type=int, help="which split of the run [the first]")
    run.add_argument("--seed", type=int, help="which seed of the run [the first]")
    run.add_argument("--trust", action="store_true", help="run the code that its config names")
    run.add_argument(
        "--follow", action="store_true", help="let codebooks follow the features [held fixed]"
    )
    own = parser.add_argument_group("of a model of your own")
    own.add_argument("--model", metavar="FILE.py:FUNCTION", help="run; it makes the model")
    own.add_argument("--ckpt", type=Path, help="state_dict: .safetensors, or of torch.save")
    own.add_argument("--data", help="a name of `graphattn data list`, or the path of a .npz")
    own.add_argument("--features", help="none, standardize or row, as the model was trained [none]")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done, before anything is read."""
    if (args.run is None) == (args.model is None):
        came = "none" if args.run is None else f"{args.run} and --model {args.model}"
        raise ValueError(f"diagnose takes a run folder, or --model and --data: got {came}.")
    wrong = _OF_A_FILE if args.model is None else _OF_A_RUN
    for key in wrong:
        if (value := getattr(args, key)) not in (None, False):
            of = "a model of your own, with --model" if args.model is None else "a run folder"
            given = "" if value is True else f" {value}"
            raise ValueError(f"--{key} is of {of}: got --{key}{given} without one.")
    if args.model is not None and args.data is None:
        raise ValueError("--model needs --data, the graph it is measured on: got none.")
    if args.features not in (None, "none", "standardize", "row"):
        raise ValueError(f"--features must be none, standardize or row: got {args.features!r}.")
    if args.run is not None:
        run_folders(args.run)
    for key, endings in (("html", (".html", ".htm")), ("json", (".json", ".npz", ".csv"))):
        if getattr(args, key) is not None:
            output_file(getattr(args, key), key, endings)


def _diagnosed(args: argparse.Namespace) -> Diagnosed:
    if args.model is not None:
        options = DataOptions(args.data, root=args.root, features=args.features or "none")
        return of_file(args.model, args.ckpt, options, device=args.device)
    trained = load_run(
        args.run,
        split=args.split,
        seed=args.seed,
        root=args.root,
        device=args.device,
        trust=args.trust,
    )
    if args.semantics == "pyg" and trained.store is not None:
        raise ValueError(
            "--semantics pyg is of models of edges: got it for one of tokens, which are drawn from "
            f"the whole graph, in {args.run}."
        )
    return of_run(trained, args.run, follow=args.follow)


def _seeds(diagnosed: Diagnosed, args: argparse.Namespace) -> Tensor | None:
    """The nodes to measure; None where they are drawn from all."""
    if args.seeds == "all":
        return None
    nodes = diagnosed.nodes(args.seeds)
    if args.num_seeds == "auto" or args.num_seeds >= len(nodes):
        return nodes
    drawn = np.random.default_rng(args.draw_seed).permutation(len(nodes))[: args.num_seeds]
    return nodes[torch.from_numpy(drawn)]


def _report(found: InfluenceResult, diagnosed: Diagnosed, path: Path, command: str) -> Path:
    y, predicted = diagnosed.y, None
    if diagnosed.predict is not None:
        predicted = torch.full((int(diagnosed.data.num_nodes or 0),), -1)
        seeds = torch.from_numpy(found.seeds)
        predicted[seeds] = diagnosed.predict(seeds)
    model, data = diagnosed.model, diagnosed.data
    more: dict[str, Any] = {}
    layered = any(isinstance(module, MessagePassing) for module in model.modules())
    if isinstance(data, HyperGraphData):
        print("left out on a hypergraph: the energy of layers and structural influence")
    elif layered and int(data.num_nodes or 0) <= _MOST_NODES:
        hops = {"num_layers": model, "max_hops": found.T.shape[1] - 1}
        more["energy"] = layer_energy(model, data)
        more["structure"] = structural_influence(data, found.seeds, **hops)
    pos = data.get("pos")
    return found.report(path, y=y, predicted=predicted, pos=pos, command=command, **more)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    with tqdm(desc="influence", unit="seed", disable=None) as bar:

        def told(done: int, wanted: int) -> None:
            bar.total = wanted
            bar.update(done - bar.n)

        yield told


def _number(text: str, option: str, word: str) -> Any:
    if text == word:
        return word
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{option} must be {word} or a number of at least 1: got {text!r}.")
    return int(text)
