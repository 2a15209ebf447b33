"""`graphattn data`: list data sets, describe, convert, fetch one, or make a twin of OGB's."""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from graphattn.arguments import Arguments
from graphattn.catalogue import catalogue, from_files, write_npz
from graphattn.config import DataOptions
from graphattn.datasets.download import fetch
from graphattn.datasets.ogb import raw_folder
from graphattn.datasets.ogb_table import OGB
from graphattn.datasets.public_fetch import fetch_public
from graphattn.datasets.public_table import PUBLIC, PublicSpec
from graphattn.datasets.twin import write_twin
from graphattn.datasets.unpack import unpack_ogb
from graphattn.description import describe
from graphattn.loading import load_data
from graphattn.outputs import output_file
from graphattn.training.metrics import METRICS, metric_by_name


def main(argv: Sequence[str]) -> int:
    """Run `graphattn data`: list, describe, convert, fetch one, or make a twin of OGB's.

    Example:
        >>> main(["list"])
        digits ...
        0
    """
    args = _parser().parse_args(list(argv))
    if args.action in ACTIONS:
        return ACTIONS[args.action](args)
    if args.action == "list":
        rows = catalogue(args.root)
    else:
        rows = describe(DataOptions(args.name, root=args.root))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {text}" for name, text in rows))
    return 0


def _parser() -> Arguments:
    parser = Arguments(
        prog="graphattn data",
        description="List data sets, describe or make one, or fetch one.",
    )
    names = "list | info | convert | download | synth"
    commands = parser.add_subparsers(dest="action", required=True, metavar=names)
    listing = commands.add_parser("list", help="names that --data.name takes")
    info = commands.add_parser("info", help="what is in a data set")
    convert = commands.add_parser("convert", help="a data set, or own files, as one .npz")
    download = commands.add_parser("download", help="a public one, from where its authors keep it")
    synth = commands.add_parser("synth", help="a made data set of the shape of one of OGB's")
    for sub in (listing, info, convert, download):
        sub.add_argument(
            "--root", "--data.root", dest="root", help="folder of data sets [GRAPHATTN_DATA]"
        )
    download.add_argument("name", help=", ".join((*OGB, *PUBLIC)))
    synth.add_argument("name", help=", ".join(OGB))
    download.add_argument("--yes", action="store_true", help="more than 1 GB, and no terminal")
    download.add_argument("--sha256", help="what the file's must be [what comes is noted]")
    synth.add_argument("--scale", type=float, default=1.0, help="of nodes and edges, to 1 [1]")
    synth.add_argument("--seed", type=int, default=0, help="of all that is drawn [0]")
    synth.add_argument(
        "--out", type=Path, required=True, help="root folder, as --data.root takes it"
    )
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
    return parser


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


def _download(args: argparse.Namespace) -> int:
    if args.name not in OGB and args.name not in PUBLIC:
        raise ValueError(f"download knows {', '.join((*OGB, *PUBLIC))}: got {args.name!r}.")
    given = args.root or os.environ.get("GRAPHATTN_DATA")
    if not given:
        raise ValueError("download needs a folder to write to: give --root, or GRAPHATTN_DATA.")
    root = Path(given)
    if args.name in PUBLIC:
        return _download_public(PUBLIC[args.name], root, args.sha256, args.yes)
    spec = OGB[args.name]
    folder = raw_folder(spec, root)
    if (folder / "raw").is_dir():
        print(f"{args.name} is in {folder} already.")
        return 0
    archive = root / f"{spec.archive}.zip"
    size = int(1e9 * spec.gigabytes)
    try:
        found = fetch(spec.url, archive, sha256=args.sha256, size=size, yes=args.yes)
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(
            f"{error} Or fetch it by other means and unpack it so that {folder / 'raw'} is there; "
            "`graphattn train --data.name digits` needs no network."
        ) from error
    print(f"{unpack_ogb(archive, spec, root)}: unpacked from {archive} (sha256 {found}),")
    print("which is no longer needed. It is read, and cached, by the first run.")
    return 0


def _download_public(spec: PublicSpec, root: Path, sha256: str | None, yes: bool) -> int:
    for path, found in fetch_public(spec, root, sha256=sha256, yes=yes).items():
        print(f"{path}: sha256 {found}")
    print("It is read, and cached, by the first run.")
    return 0


def _synth(args: argparse.Namespace) -> int:
    folder = write_twin(args.name, args.out, scale=args.scale, seed=args.seed)
    print(f"{folder}: a made data set of the shape of {args.name}, times {args.scale:g}.")
    print(f"graphattn train --data.name {args.name} --data.root {shlex.quote(str(args.out))}")
    return 0


def _given(args: argparse.Namespace, keys: Sequence[str]) -> list[str]:
    return [f"{key} {getattr(args, key)}" for key in keys if getattr(args, key) is not None]


ACTIONS = {"convert": _convert, "download": _download, "synth": _synth}
