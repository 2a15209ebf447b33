"""Runs every row of the results table and writes docs/results.md.

    GRAPHATTN_DATA=/folder/of/npz/files python benchmarks/accuracy.py [--only cora] [--table]

Rows stand in accuracy.yaml. A row with choices tries each on split 0, seed 0, takes the one best on
the validation nodes, and runs that. Runs are resumed; a row whose figures stand in
results/accuracy.json with the command it has now is not run again. --table runs nothing.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import ablations
import node_importance
import reach
import yaml

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "results.md"
RESULTS = HERE / "results" / "accuracy.json"
DONE = "command.txt"  # What a run folder answers: its figures count for no other command.
KEPT = ("val", "test", "seconds_per_epoch", "peak_memory_bytes", "num_parameters")


def main() -> None:
    """Runs what is missing, then writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", help="data sets, or rows as cora/mlp; by default all")
    parser.add_argument("--runs", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--table", action="store_true", help="write the page from finished runs")
    args = parser.parse_args()
    plan = yaml.safe_load((HERE / "accuracy.yaml").read_text())
    for name, dataset in plan["datasets"].items():
        for row in dataset["rows"]:
            asked = not args.only or {name, f"{name}/{row['id']}"} & set(args.only)
            if asked and not args.table:
                run_row(name, row, plan, args.runs)
            if asked:
                keep(name, row, plan, args.runs)
    PAGE.write_text(page(plan, recorded()))
    print(f"written: {PAGE}")


def run_row(dataset: str, row: dict[str, Any], plan: dict[str, Any], runs: Path) -> None:
    """Runs a row's choices, then the row; of what is recorded, no more than is asked anew."""
    known = recorded().get(dataset, {}).get(row["id"], {})
    best = known.get("choice")
    if known and known["command"] == command(dataset, row, plan, best, final=True):
        return
    if best is None:
        for number in range(len(choices(row, plan))):
            train(command(dataset, row, plan, number), folder(dataset, row, runs, number))
        best = chosen(dataset, row, plan, runs)
    train(command(dataset, row, plan, best, final=True), folder(dataset, row, runs))


def recorded() -> dict[str, dict[str, Any]]:
    """Figures of finished rows: data set -> id of the row -> figures, command, choice."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def keep(dataset: str, row: dict[str, Any], plan: dict[str, Any], runs: Path) -> None:
    """Adds a finished row to the record, beside what other processes wrote to it."""
    out, found = folder(dataset, row, runs), recorded()
    result, best = read(out), chosen(dataset, row, plan, runs)
    if best is None:
        best = found.get(dataset, {}).get(row["id"], {}).get("choice")
    asked = command(dataset, row, plan, best, final=True)
    if result is None or not (out / DONE).is_file() or (out / DONE).read_text() != asked:
        return
    counts = {f"{of}s": len({run[of] for run in result["runs"]}) for of in ("split", "seed")}
    found.setdefault(dataset, {})[row["id"]] = {
        "command": asked,
        "choice": best,
        **counts,
        **{name: result[name] for name in KEPT},
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def train(arguments: str, out: Path) -> None:
    """Runs `graphattn train`; a finished run is left alone by it."""
    print(f"graphattn train {arguments}", flush=True)
    words = ["-m", "graphattn", "train", *shlex.split(arguments), "--out", str(out)]
    subprocess.run([sys.executable, "-W", "ignore", *words], check=True)
    (out / DONE).write_text(arguments)


def command(
    dataset: str,
    row: dict[str, Any],
    plan: dict[str, Any],
    choice: int | None,
    *,
    final: bool = False,
) -> str:
    """What stands after `graphattn train`, with one of the row's choices; finally on all splits."""
    picked = choices(row, plan)[choice] if choice is not None else ""
    data = plan["datasets"][dataset].get("data", dataset)
    parts = (f"--data.name {data}", plan["common"].get(row.get("common", ""), ""))
    parts = (*parts, row.get("command", ""), picked, row.get("final", "") if final else "")
    return " ".join(part for part in parts if part)


def choices(row: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """The configurations a row chooses from; none for a fixed one."""
    given = row.get("choices", [])
    return list(plan["choices"][given] if isinstance(given, str) else given)


def folder(dataset: str, row: dict[str, Any], runs: Path, choice: int | None = None) -> Path:
    """The run folder of a row or of one of its choices."""
    return runs / (
        f"{dataset.partition(',')[0]}-{row['id']}" + ("" if choice is None else f"-choice{choice}")
    )


def chosen(dataset: str, row: dict[str, Any], plan: dict[str, Any], runs: Path) -> int | None:
    """The choice with the best validation metric on split 0, seed 0; the first of equals."""
    results = [
        read(folder(dataset, row, runs, number)) for number in range(len(choices(row, plan)))
    ]
    if not results or None in results:
        return None
    values = [result["val"]["mean"] for result in results if result]
    return values.index(max(values))


def read(run: Path) -> dict[str, Any] | None:
    """A run's result.json, or nothing while it is not finished."""
    path = run / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None


def page(plan: dict[str, Any], found: dict[str, dict[str, Any]]) -> str:
    """The results page."""
    lines = ["# Results", "", plan["about"].strip(), ""]
    for name, dataset in plan["datasets"].items():
        lines += [f"## {name}", "", dataset["about"].strip(), ""]
        lines += ["| model | splits x seeds | validation | test | s/epoch | memory | parameters |"]
        lines += ["|---|---|---|---|---|---|---|"]
        commands, missing = [], []
        for row in dataset["rows"]:
            result = found.get(name, {}).get(row["id"])
            if result is None:
                missing.append(row["name"])
                continue
            lines.append(table_row(row["name"], result))
            tried = len(choices(row, plan))
            note = f" (the best of {tried} on the validation nodes of split 0)" if tried else ""
            commands.append(f"- {row['name']}{note}: `graphattn train {result['command']}`")
        if "published" in dataset:
            lines += ["", "Published: " + dataset["published"].strip()]
        if missing:
            lines += ["", f"Not run yet: {', '.join(missing)}."]
        lines += ["", *commands, ""]
    others = (node_importance, reach, ablations)
    return "\n".join([*lines, *(module.section() for module in others)])


def table_row(name: str, result: dict[str, Any]) -> str:
    """One line of a table."""
    count = f"{result['splits']} x {result['seeds']}"
    cells = [f"{figure(result[part])}" for part in ("val", "test")]
    seconds = f"{result['seconds_per_epoch']:.3g}"
    memory = f"{result['peak_memory_bytes'] / 1e6:,.0f} MB"
    cells = [name, count, *cells, seconds, memory, f"{result['num_parameters']:,}"]
    return f"| {' | '.join(cells)} |"


def figure(of: dict[str, float | None]) -> str:
    """Mean and, over several runs, the unbiased standard deviation."""
    if of["std"] is None:
        return f"{of['mean']:.4f}"
    return f"{of['mean']:.4f} ± {of['std']:.4f}"


if __name__ == "__main__":
    main()
