"""Predictions written piece by piece: a file that appears when it is whole."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from graphattn.files import check_space
from graphattn.outputs import output_file
from graphattn.prediction import TrainedRun


def write_predictions(trained: TrainedRun, nodes: Tensor, out: Path) -> None:
    """Write node id, class and probabilities, in the order of the nodes; of numbers, the number.

    Args:
        trained: The run.
        nodes: Node ids.
        out: `.csv` with columns node, class, p0, p1, ..., or `.npy` of records (node, class,
            probabilities); without class where a node has several labels; node and number where
            numbers are predicted. It appears when whole.

    Raises:
        ValueError: The file's name ends in neither.
        OSError: The disk is full or read-only; an older file is intact.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from graphattn.config import DataOptions, RunConfig
        >>> from graphattn.experiment import run_experiment
        >>> from graphattn.prediction import load_run
        >>> out = tempfile.mkdtemp()
        >>> _ = run_experiment(RunConfig(DataOptions("karate"), model="mlp", out=out))
        >>> write_predictions(load_run(Path(out)), torch.tensor([3, 1]), Path(out) / "p.csv")
        >>> (Path(out) / "p.csv").read_text().splitlines()[0]
        'node,class,p0,p1'
    """
    output_file(out, "out", (".csv", ".npy"))
    classes = trained.task.num_classes
    check_space(out.parent, len(nodes) * (24 + 12 * classes))
    partial = out.with_name(f"{out.name}.part")
    try:
        if out.suffix == ".csv":
            _write_csv(partial, trained, nodes, classes)
        else:
            _write_npy(partial, trained, nodes, classes)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _write_csv(path: Path, trained: TrainedRun, nodes: Tensor, classes: int) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        numbers, plain = trained.task.y.is_floating_point(), not _has_class(trained)
        head = ["node"] if plain else ["node", "class"]
        columns = ["number"] if numbers else [f"p{c}" for c in range(classes)]
        file.write(",".join([*head, *columns]) + "\n")
        for chunk, shares in trained.probabilities(nodes):
            rows = zip(chunk.tolist(), shares.argmax(1).tolist(), shares.tolist(), strict=True)
            for node, label, row in rows:
                first = node if plain else f"{node},{label}"
                file.write(f"{first},{','.join(f'{p:.6g}' for p in row)}\n")


def _write_npy(path: Path, trained: TrainedRun, nodes: Tensor, classes: int) -> None:
    has_class, numbers = _has_class(trained), trained.task.y.is_floating_point()
    what = "number" if numbers else "probabilities"
    width = () if numbers else (classes,)
    named = [("node", np.int64), ("class", np.int32), (what, np.float32, width)]
    kind = np.dtype([field for field in named if has_class or field[0] != "class"])
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(kind),
            "fortran_order": False,
            "shape": (len(nodes),),
        }
        np.lib.format.write_array_header_1_0(file, header)
        for chunk, shares in trained.probabilities(nodes):
            records: npt.NDArray[np.void] = np.empty(len(chunk), dtype=kind)
            records["node"] = chunk.numpy()
            if has_class:
                records["class"] = shares.argmax(1).numpy()
            records[what] = shares.view(len(chunk), *width).numpy()
            file.write(records.tobytes())


def _has_class(trained: TrainedRun) -> bool:
    """Whether a node has one class: neither several labels nor a number."""
    return trained.task.y.dim() == 1 and not trained.task.y.is_floating_point()
