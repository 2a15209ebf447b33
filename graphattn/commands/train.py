"""`graphattn train`: train, on one process or on several ranks, write the run folder, print."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch_geometric.data.hypergraph_data import HyperGraphData

from graphattn.arguments import Arguments
from graphattn.config import DataOptions
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public_table import PUBLIC
from graphattn.experiment import run_experiment
from graphattn.hypergraph import Incidence
from graphattn.loading import load_data
from graphattn.outputs import output_file
from graphattn.parsing import parse_run
from graphattn.ray_cluster import check_address
from graphattn.results import table
from graphattn.smaller_batches import run_with_smaller_batches
from graphattn.training.distributed import PATIENCE, joined, launched_ranks
from graphattn.training.hypergraph_section import hypergraph_section
from graphattn.training.on_ray import train_on_ray
from graphattn.training.report import write_report


def main(argv: Sequence[str]) -> int:
    """Run `graphattn train`: train, write the run folder, print the table.

    Example:
        >>> main(["--data.name", "karate", "--seeds", "one"])
        Traceback (most recent call last):
        ...
        ValueError: seeds must be numbers such as 0, 0-9 or 0,3: got 'one'.
    """
    on_ray, argv = _engine(argv)
    flags = Arguments("graphattn train", add_help=False, allow_abbrev=False)
    flags.add_argument("--resume", action="store_true")
    flags.add_argument("--overwrite", action="store_true")
    flags.add_argument("--auto-batch", action="store_true")
    flags.add_argument("--html", type=Path)
    flags.add_argument("--patience", type=float, default=PATIENCE)
    own, rest = flags.parse_known_args(list(argv))
    config = parse_run(rest)
    if own.resume and own.overwrite:
        raise ValueError("--resume goes on with a run and --overwrite removes it: give one.")
    if not own.patience > 0:
        raise ValueError(f"--patience must be a number of seconds above 0: got {own.patience}.")
    first = launched_ranks().first
    if own.auto_batch and (on_ray is not None or not launched_ranks().alone):
        raise ValueError("--auto-batch is of one process: got it for several ranks.")
    if first and own.resume and not (config.folder / "config.yaml").exists():
        raise ValueError(f"--resume needs a run to go on with: there is none in {config.folder}.")
    if first and own.html is not None:
        output_file(own.html, "html", (".html", ".htm"))
    if on_ray is not None:
        workers, address = on_ray
        limits = {"device": config.device, "patience": own.patience}
        return train_on_ray(argv, workers=workers, address=address, **limits)
    with joined(config.device, patience=own.patience) as ranks:
        if own.auto_batch:
            result = run_with_smaller_batches(config, overwrite=own.overwrite)
        else:
            result = run_experiment(config, overwrite=own.overwrite, ranks=ranks)
    if not first:
        return 0
    runs = len(result.fits)
    spread = f": mean ± unbiased standard deviation over {runs} runs" if runs > 1 else ""
    print(f"{table([result])}\n\nmetric: {result.metric}{spread}\nrun folder: {config.folder}")
    if own.html is not None:
        command = " ".join(["graphattn train", *argv])
        title = f"{config.model} on {config.data.name}"
        summary = result.summary(command=command)
        sections = _sections(config.data)
        page = write_report(own.html, [summary], title=title, command=command, sections=sections)
        print(f"report: {page}")
    return 0


def _sections(options: DataOptions) -> list[str]:
    """What a report tells of the data: of a hypergraph, its sizes and types."""
    if options.name in OGB or options.name in PUBLIC:
        return []
    data = load_data(options)
    if not isinstance(data, HyperGraphData) or options.clique is not None:
        return []
    return [hypergraph_section(Incidence.from_data(data), data.get("hyperedge_type"))]


def _engine(argv: Sequence[str]) -> tuple[tuple[int, str | None] | None, list[str]]:
    """Take out where to train: the workers and the address of Ray, or None for here."""
    flags = Arguments("graphattn train", add_help=False, allow_abbrev=False)
    flags.add_argument("--engine", choices=("ray",))
    flags.add_argument("--workers", type=int)
    flags.add_argument("--address")
    own, rest = flags.parse_known_args(list(argv))
    if own.engine is None:
        for name in ("workers", "address"):
            if (value := getattr(own, name)) is not None:
                raise ValueError(f"--{name} is of --engine ray: got {value!r} without it.")
        return None, rest
    if own.workers is None or own.workers < 1:
        raise ValueError(
            "--engine ray needs --workers, how many ranks train together, at least 1: got "
            f"{'none' if own.workers is None else own.workers}."
        )
    if "RANK" in os.environ:
        raise ValueError(
            "--engine ray starts the ranks itself: got RANK in the environment, which torchrun "
            "sets; leave one of the two out."
        )
    check_address(own.address)
    return (own.workers, own.address), rest
