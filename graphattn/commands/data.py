"""`graphattn data`: list data sets, describe one, make one of own files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from graphattn.catalogue import catalogue, describe, from_files, write_npz
from graphattn.config import DataOptions
from graphattn.task import load_data


def main(argv: Sequence[str]) -> int:
    """Run `graphattn data`: list data sets, describe one, make one of own files.

    Example:
        >>> main(["list"])
        digits ...
        0
    """
    parser = argparse.ArgumentParser(
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
    convert.add_argument("--split", type=float, nargs=3, default=(0.5, 0.25, 0.25), metavar="SHARE")
    convert.add_argument("--seed", type=int, default=0, help="of the split")
    convert.add_argument("--metric", default="accuracy")
    convert.add_argument("--out", type=Path, required=True, help=".npz")
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
            "convert takes a data set's name, or all of --edges, --x and --y: "
            f"got name {args.name}, edges {args.edges}, x {args.x}, y {args.y}."
        )
    if args.name is not None:
        found = load_data(DataOptions(args.name, root=args.root))
    else:
        shares = (args.split[0], args.split[1], args.split[2])
        found = from_files(*files, fractions=shares, seed=args.seed, metric=args.metric)
    write_npz(found, args.out, name=args.out.stem)
    print(f"{args.out}: {found.num_nodes:,} nodes, {found.num_edges:,} edges")
    return 0
