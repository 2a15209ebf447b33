"""`graphattn compare`: measurements that `graphattn diagnose` wrote, side by side."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from graphattn.arguments import Arguments
from graphattn.diagnostics.comparison import differences, labels, write_comparison
from graphattn.diagnostics.reading import read_influence
from graphattn.outputs import output_file

logger = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run `graphattn compare`: print R of several measurements, and write them on one page.

    Example:
        >>> main(["none.json"])
        Traceback (most recent call last):
        ...
        ValueError: a measurement must be a file that `graphattn diagnose` wrote: got none.json, ...
    """
    parser = Arguments(
        prog="graphattn compare", description="Compare how far models see, by their measurements."
    )
    parser.add_argument(
        "files", type=Path, nargs="+", help=".json or .npz of `graphattn diagnose --json`"
    )
    parser.add_argument("--html", type=Path, help="page to write, ends in .html")
    parser.add_argument("--title", default="", help="heading of the page")
    args = parser.parse_args(list(argv))
    found = {name: read_influence(path) for name, path in _named(args.files).items()}
    if args.html is not None:
        output_file(args.html, "html", (".html", ".htm"))
    named = labels(found)
    width = max(map(len, named))
    for label, one in zip(named, found.values(), strict=True):
        print(f"{label:<{width}}  {str(one).partition(chr(10))[0]}")
    for text in differences(found):
        logger.warning("not comparable: %s", text)
    if args.html is not None:
        command = shlex.join(["graphattn", "compare", *argv])
        page = write_comparison(args.html, found, title=args.title, command=command)
        print(f"report: {page}")
    return 0


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Name each file by its stem, or where stems are alike by its path."""
    stems = [path.stem for path in files]
    named = {p.stem if stems.count(p.stem) == 1 else str(p): p for p in files}
    if len(named) < len(files):
        twice = next(path for path in files if files.count(path) > 1)
        raise ValueError(f"each measurement is compared once: got {twice} twice.")
    return named
