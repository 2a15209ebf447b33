"""`graphattn data`: list data sets, describe one, make one of own files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from graphattn.arguments import Arguments
from graphattn.catalogue import catalogue, describe, from_files, write_npz
from graphattn.config import DataOptions
from graphattn.outputs import output_file
from graphattn.task import load_data
from graphattn.training.metrics import METRICS, metric_by_name


def main(argv: Sequence[str]) -> int:
    """Run `graphattn data`: list data sets, describe one, make one of own files.

    Example:
        >>> main(["list"])
        digits ...
        0
    """
    parser = Arguments(
        prog="graphattn data",
        description="List data sets, describe one, or make one of your own files.",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="list | info | convert")
    listing = commands.add_parser("list", help="names that --data.name takes")
    info = commands.add_parser("info", help="what is in a data set")
    convert = commands.add_parser("convert", help="a data set, or own files, as one .npz")
    for sub in (listing, info, convert):
        sub.add_argument("--root", help="folder of .npz data sets [GRAPHATTN_DATA]")
    info.add_argument("name", help="a name of `data list`, or the path of a .npz")
    convert.add_argument("name", nargs="?", help="a data set to write; else --edges, --x, --y")
    for key, what in (("edges", "source and target"), ("x", "features"), ("y", "labels")):
        convert.add_argument(f"--{key}", type=Path, help=f"{what}, a row each: .csv, .txt or .npy")
    convert.add_argument(
        "--split",
        type=float,
        nargs=3,
        metavar="SHARE",
        help="shares of labelled nodes to train on, to choose by and to test on [0.5 0.25 0.25]",
    )
    convert.add_argument("--seed", type=int, help="of the split [0]")
    convert.add_argument("--metric", help=f"{', '.join(METRICS)} [accuracy, or the data set's own]")
    convert.add_argument("--out", type=Path, required=True, help="file to write, ends in .npz")
    args = parser.parse_args(list(argv))
    if args.action == "list":
        rows = catalogue(args.root)
    elif args.action == "info":
        rows = describe(DataOptions(args.name, root=args.root))
    else:
        return _convert(args)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {text}" for name, text in rows))
    return 0


def _convert(args: argparse.Namespace) -> int:
    files = (args.edges, args.x, args.y)
    if (args.name is None) == (None in files):
        raise ValueError(
            "convert takes a data set's name, or all of --edges, --x and --y: got "
            f"{' and '.join(_given(args, ('name', 'edges', 'x', 'y'))) or 'none of them'}."
        )
    if args.metric is not None:
        metric_by_name(args.metric)
    output_file(args.out, "out", (".npz",))
    if args.name is not None:
        if cut := _given(args, ("split", "seed")):
            raise ValueError(f"a data set keeps its own split: got {' and '.join(cut)} for one.")
        found = load_data(DataOptions(args.name, root=args.root))
        found.metric = args.metric or found.get("metric")
    else:
        train, val, test = args.split or (0.5, 0.25, 0.25)
        found = from_files(
            *files,
            fractions=(train, val, test),
            seed=args.seed or 0,
            metric=args.metric or "accuracy",
        )
    write_npz(found, args.out, name=args.out.stem)
    print(f"{args.out}: {found.num_nodes:,} nodes, {found.num_edges:,} edges")
    if names := (found.get("meta") or {}).get("class_names"):
        print(f"classes: {', '.join(f'{i} {name}' for i, name in enumerate(names))}")
    return 0


def _given(args: argparse.Namespace, keys: Sequence[str]) -> list[str]:
    return [f"{key} {getattr(args, key)}" for key in keys if getattr(args, key) is not None]
