"""How far models see, and how right they are, at depth 2, 4, 8 and 16: on a city and on citations.

    GRAPHATTN_DATA=/folder/of/npz/files python benchmarks/reach.py [--only cora] [--models GCN GAT]

Each row is one `graphattn train` and one influence, as `graphattn diagnose` measures it. Runs are
resumed and never repeated; `results/reach.json`, and with it the section of docs/results.md, is
written from all that are finished.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphattn.diagnosis import of_run
from graphattn.diagnostics import influence
from graphattn.diagnostics.reading import read_influence
from graphattn.experiment import run_experiment
from graphattn.parsing import parse_run
from graphattn.prediction import load_run
from graphattn.results import spread

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
MEASURE = {"max_hops": 16, "tol": 0.03, "channels": 1}
ABOUT = """\
Each cell: test accuracy, and R, the mean number of hops from which a prediction takes its
influence ([guide](guides/influence.md)), of `graphattn train` and the influence of its first
seed's model; one configuration a model and data set, the epoch alone chosen by validation. On
city_porto one seed, on cora three. R is measured over 16 hops, by one random channel a seed,
until its 95 % interval is within 3 %; *beyond* is the share of the influence that lies farther,
and is in no R. Influence of LargeGT with a codebook passes through it (`follow=True`): each code
counts as the mean of its nodes.

What the City-Networks paper found is there. At depth 16 every model of message passing reaches
farther on the city than on cora, and for GCN the influence of hop 16 on the city is 1e-6.2 of
hop 0's, on cora 1e-14.8: more than eight powers of ten. GCN and GCNII, and LargeGT with 16 own
hops, are the more right on the city the farther they look; on cora GCN, GraphSAGE and GAT lose
accuracy with depth, and GCNII does not. To reach far is not enough: GraphSAGE and GAT reach
farthest on the city at depth 16 and are less right there than at depth 8; their training losses
end at 1.75 and 2.03. More layers of attention do not widen LargeGT's local module, whose field
is its tokens', and from 8 on it learns badly. The codebook takes 97 % of its influence on the
city from beyond 16 hops, SGFormer 7 to 17 %, without being more right for it."""


def main() -> None:
    """Runs and measures what is missing, then writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--runs", type=Path, default=Path("runs/reach"))
    parser.add_argument("--finished", action="store_true", help="train nothing more")
    args = parser.parse_args()
    for dataset, model, depth, command in rows():
        run = folder(args.runs, dataset, model, depth)
        if dataset in args.only and model in args.models:
            if not args.finished:
                print(f"graphattn train {command}", flush=True)
                run_experiment(parse_run([*command.split(), "--out", str(run)]))
            if (run / "result.json").is_file() and not (run / "influence.json").is_file():
                print(measured(run, follow="full" in model or "global" in model), flush=True)
    write(args.runs)


def measured(run: Path, *, follow: bool) -> str:
    """Measures the first seed's model; through its codebook, if it has one."""
    subject = of_run(load_run(run), run, follow=follow)
    found = influence(subject.model, subject.data, **MEASURE)
    found.save(run / "influence.json")
    return f"{run.name}: {found}"


def write(runs: Path) -> None:
    """Writes what is finished to the results."""
    found = []
    for dataset, model, depth, command in rows():
        run = folder(runs, dataset, model, depth)
        if not (run / "influence.json").is_file():
            continue
        result, reach = (
            json.loads((run / "result.json").read_text()),
            read_influence(run / "influence.json"),
        )
        low, high = reach.R_ci
        found.append(
            {"data": dataset, "model": model, "depth": depth, "test": result["test"]}
            | {"R": reach.R, "R_ci": [low, high], "tail": reach.tail_share}
            | {"seeds": len(reach.seeds), "engine": reach.about["engine"]}
            | {"fall": _fall(reach.curve), "command": f"graphattn train {command}"}
        )
    RESULTS.write_text(json.dumps({"measure": MEASURE, "rows": found}, indent=1) + "\n")
    print(table(found))


def section() -> str:
    """What the results page says of the finished rows; nothing before there are any."""
    if not RESULTS.is_file():
        return ""
    found = json.loads(RESULTS.read_text())["rows"]
    parts = ["## How far models see", "", ABOUT, "", table(found), ""]
    deepest = {(row["data"], row["model"]): row["command"] for row in found}
    parts += [f"- {model}, {data}: `{command}`" for (data, model), command in deepest.items()]
    return "\n".join([*parts, ""])


def table(found: list[dict[str, Any]]) -> str:
    """The rows as Markdown: a data set after the other, accuracy and R at each depth."""
    lines = []
    for dataset in SEEDS:
        rows_of = {(row["model"], row["depth"]): row for row in found if row["data"] == dataset}
        if not rows_of:
            continue
        depths = " | ".join(f"depth {d}" for d in DEPTHS)
        lines += [f"| {dataset} | {depths} | log10 T16 / T0 at depth 16 |"]
        lines += ["|" + "---|" * (len(DEPTHS) + 2)]
        for model in MODELS:
            cells = [_cell(rows_of.get((model, depth))) for depth in DEPTHS]
            if any(cells):
                fall = rows_of.get((model, DEPTHS[-1]), {}).get("fall")
                cells.append("" if fall is None else f"{fall:.1f}")
                lines.append(f"| {model} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _fall(curve: Any) -> float | None:
    """By how many powers of ten hop 16 has less than hop 0; None where it has nothing."""
    first, last = float(curve[0]), float(curve[MEASURE["max_hops"]])
    return math.log10(last / first) if first > 0 and last > 0 else None


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    test = row["test"]
    accuracy = spread(test["mean"], math.nan if test["std"] is None else test["std"])
    half = (row["R_ci"][1] - row["R_ci"][0]) / 2
    tail = f", {100 * row['tail']:.0f} % beyond" if row["tail"] > 0.005 else ""
    return f"{accuracy}; R {row['R']:.2f} ± {half:.2f}{tail}"


def rows() -> Iterator[tuple[str, str, int, str]]:
    """Data set, model, depth, and what stands after `graphattn train`."""
    for dataset, seeds in SEEDS.items():
        for model, options in MODELS.items():
            for depth in DEPTHS:
                own = "own hops" in model
                deep = f"--tokens.num_own_hops {depth}" if own else f"--model.num_layers {depth}"
                if model == "LargeGT, global":  # it has no layers to add
                    if depth != DEPTHS[0]:
                        continue
                    deep = ""
                rest = (TOKENS if "LargeGT" in model else WHOLE)[dataset]
                parts = (f"--data.name {dataset}", options, deep, rest, f"--seeds {seeds}")
                yield dataset, model, depth, " ".join(part for part in parts if part)


def folder(runs: Path, dataset: str, model: str, depth: int) -> Path:
    """The run folder of a row."""
    return runs / f"{dataset}-{model.replace(',', '').replace(' ', '-').lower()}-{depth}"


if __name__ == "__main__":
    main()
