"""How far models see, and how right they are, at depth 2, 4, 8 and 16: on a city and on citations.

    GRAPHATTN_DATA=/folder/of/npz/files python benchmarks/reach.py [--only cora] [--models GCN GAT]

Each row is one `graphattn train` and one `graphattn diagnose`. Runs are resumed and never repeated;
the table and `results/reach.json` are written from all that are finished.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from graphattn.experiment import run_experiment
from graphattn.parsing import parse_run

RESULTS = Path(__file__).resolve().parent / "results" / "reach.json"
DEPTHS = (2, 4, 8, 16)
LARGEGT = "--model.hops channels --model.hidden_channels 32"  # two heads: as wide as the others
MODELS = {
    "GCN": "--model.name gcn --model.residual true --model.norm batch",
    "GraphSAGE": "--model.name sage --model.residual true --model.norm batch",
    "GAT": "--model.name gat --model.residual true --model.norm batch",
    "GCNII": "--model.name gcnii",
    "SGFormer": "--model.name sgformer",
    "LargeGT, local": f"{LARGEGT} --model.scope local",
    "LargeGT, global": f"{LARGEGT} --model.scope global",
    "LargeGT, full": f"{LARGEGT} --model.scope full",
    "LargeGT, local, own hops": f"{LARGEGT} --model.scope local",
}
WHOLE = {
    "city_porto": "--model.dropout 0.2 --train.lr 0.01 --train.schedule cosine --train.epochs 60 "
    "--train.eval_every 5",
    "cora": "--model.dropout 0.5 --train.lr 0.01 --train.weight_decay 5e-4 --train.epochs 150 "
    "--train.eval_every 5",
}
TOKENS = {
    "city_porto": "--model.dropout 0.2 --tokens.num_samples 10 --train.batch_size 256 "
    "--train.lr 0.003 --train.schedule cosine --train.epochs 30 --train.eval_every 3",
    "cora": "--model.dropout 0.5 --tokens.num_samples 10 --train.lr 0.003 --train.epochs 100 "
    "--train.eval_every 5",
}
SEEDS = {"city_porto": "0", "cora": "0-2"}


def main() -> None:
    """Runs what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--runs", type=Path, default=Path("runs/reach"))
    args = parser.parse_args()
    for dataset, model, depth, command in rows():
        if dataset in args.only and model in args.models:
            print(f"graphattn train {command}", flush=True)
            where = folder(args.runs, dataset, model, depth)
            run_experiment(parse_run([*command.split(), "--out", str(where)]))


def rows() -> Iterator[tuple[str, str, int, str]]:
    """Data set, model, depth, and what stands after `graphattn train`."""
    for dataset in SEEDS:
        for model, options in MODELS.items():
            for depth in DEPTHS:
                own = "own hops" in model
                deep = f"--tokens.num_own_hops {depth}" if own else f"--model.num_layers {depth}"
                if model == "LargeGT, global":  # it has no layers to add
                    if depth != DEPTHS[0]:
                        continue
                    deep = ""
                rest = (TOKENS if "LargeGT" in model else WHOLE)[dataset]
                parts = (f"--data.name {dataset}", options, deep, rest, f"--seeds {SEEDS[dataset]}")
                yield dataset, model, depth, " ".join(part for part in parts if part)


def folder(runs: Path, dataset: str, model: str, depth: int) -> Path:
    """The run folder of a row."""
    return runs / f"{dataset}-{model.replace(',', '').replace(' ', '-').lower()}-{depth}"


if __name__ == "__main__":
    main()
