"""`graphattn predict`: classes and probabilities of nodes, from a run folder alone."""

from collections.abc import Sequence
from pathlib import Path

from graphattn.arguments import Arguments
from graphattn.outputs import output_file
from graphattn.prediction import load_run
from graphattn.prediction_file import write_predictions
from graphattn.run_folder import run_folders

NODES = "train, val, test, all, or a file of ids (.npy, or text with one a line)"


def main(argv: Sequence[str]) -> int:
    """Run `graphattn predict`: classes and probabilities of nodes, from a run folder alone.

    Example:
        >>> main(["runs/none"])
        Traceback (most recent call last):
        ...
        ValueError: runs/none is no run folder: ...
    """
    parser = Arguments(
        prog="graphattn predict", description="Predict with the best weights of a run."
    )
    parser.add_argument("run", type=Path, help="run folder, or one of its split-seed folders")
    parser.add_argument("--nodes", default="test", help=f"{NODES} [test]")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), help=".csv or .npy")
    parser.add_argument("--split", type=int, help="which split of the run [the first]")
    parser.add_argument("--seed", type=int, help="which seed of the run [the first]")
    parser.add_argument("--root", help="folder of the data sets, if it is not where it was")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... [auto]")
    parser.add_argument(
        "--trust", action="store_true", help="run the code that the run's config names, if any"
    )
    args = parser.parse_args(list(argv))
    run_folders(args.run)  # whatever is wrong is said before a folder is made
    output_file(args.out, "out", (".csv", ".npy"))
    trained = load_run(
        args.run,
        split=args.split,
        seed=args.seed,
        root=args.root,
        device=args.device,
        trust=args.trust,
    )
    nodes = trained.nodes(args.nodes)
    write_predictions(trained, nodes, args.out)
    kind = "classes" if trained.task.y.dim() == 1 else "labels each"
    print(f"{len(nodes):,} nodes, {trained.task.num_classes} {kind}: {args.out}")
    return 0
