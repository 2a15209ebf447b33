"""What a submission to a leaderboard of OGB asks for, filled in as far as a run can tell.

The fields are those of https://ogb.stanford.edu/docs/leader_overview, under their names there.
"""

import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from graphattn.config import RunConfig
from graphattn.datasets.ogb import raw_folder
from graphattn.datasets.ogb_table import OGB
from graphattn.files import write_json

_YOURS = {  # what no run can know, and what the form wants to read there
    "External data": "Yes or No: pre-trained models, raw text, other data",
    "Contact": "name and email address",
    "Code": "repository with the exact command",
    "Paper": "link, such as arXiv",
    "Tuned hyper-parameters": 'as "lr: [0.001*, 0.01], heads: [2, 4*]", the chosen ones starred',
    "Officiality": "official (by the authors of the method) or unofficial",
}
_FEWER = {"ogbn-papers100M": 3}  # seeds asked for, rather than ten


def submission(
    config: RunConfig,
    seeds: Sequence[int],
    val: tuple[float, float],
    test: tuple[float, float],
    num_parameters: int,
) -> dict[str, Any]:
    """Fill in the form.

    Args:
        config: Of the run, on one of OGB's data sets.
        seeds: Of its runs.
        val: Mean and unbiased standard deviation of the validation metric, as OGB's own evaluator
            gave it.
        test: The same of the test metric.
        num_parameters: Trained numbers of the model.

    Returns:
        `fields`, by their names in the form; `open`, those left to fill in, with what is wanted;
        `problems`, why it cannot be submitted as it is.

    Example:
        >>> from graphattn.config import DataOptions
        >>> form = submission(RunConfig(DataOptions("ogbn-mag", root=".")), [0], (1, 0), (1, 0), 9)
        >>> form["problems"]
        ['seeds must be 0-9: got 0']
    """
    name, wanted = config.data.name, list(range(_FEWER.get(config.data.name, 10)))
    problems = []
    if sorted(set(seeds)) != wanted:
        problems.append(f"seeds must be 0-{wanted[-1]}: got {','.join(map(str, seeds))}")
    if (raw_folder(OGB[name], config.data.root) / "twin.json").is_file():
        problems.append(f"the data are a made twin of {name}, not {name}: never submit this")
    told = {
        "OGB version": version("ogb"),
        "Method": method(config),
        "Dataset": name,
        "Test performance": _performance(test),
        "Validation performance": _performance(val),
        "#Params": num_parameters,
        "Hardware": hardware(config.device),
    }
    order = (
        *("OGB version", "Method", "External data", "Dataset", "Test performance"),
        *("Validation performance", "Contact", "Code", "Paper", "#Params"),
        *("Tuned hyper-parameters", "Hardware", "Officiality"),
    )
    fields = {field: told.get(field) for field in order}
    return {"fields": fields, "open": dict(_YOURS), "problems": problems}


def method(config: RunConfig) -> str:
    """Return what was done, in short: the model, and what training labels served for besides.

    Example:
        >>> from graphattn.config import DataOptions
        >>> from graphattn.training.options import LabelOptions
        >>> labels = LabelOptions(label_inputs=0.5, correct_and_smooth=True)
        >>> method(RunConfig(DataOptions("ogbn-mag"), model="gcn", labels=labels))
        'gcn + label inputs + C&S'
    """
    used = config.labels
    tricks = {"label inputs": bool(used.label_inputs), "C&S": used.correct_and_smooth}
    return " + ".join([config.model, *(name for name, is_on in tricks.items() if is_on)])


def write_submission(folder: Path, form: Mapping[str, Any]) -> None:
    """Write `leaderboard.json` and `leaderboard.md`.

    Args:
        folder: The run folder.
        form: As `submission` returns it.

    Raises:
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_submission(folder, {"fields": {"Method": "gcn"}, "open": {}, "problems": []})
        >>> print((folder / "leaderboard.md").read_text().splitlines()[-1])
        | Method | gcn |
    """
    write_json(folder / "leaderboard.json", form)
    name = form["fields"].get("Dataset", "OGB")
    lines = [f"# {name}", ""]
    lines += [f"Not ready: {problem}.\n" for problem in form["problems"]]
    lines += ["| field | value |", "|---|---|"]
    for field, value in form["fields"].items():
        wanted = f"*to fill in: {form['open'].get(field)}*"
        lines.append(f"| {field} | {_shown(value) or wanted} |")
    partial = folder / "leaderboard.md.part"
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(folder / "leaderboard.md")


def hardware(device: str) -> str:
    """Return the GPU, or else the processor, that a run used, with its memory.

    Args:
        device: As in the config; "auto" is a GPU where there is one.

    Example:
        >>> hardware("cpu").endswith("GB memory)")
        True
    """
    if device != "cpu" and torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0 if device == "auto" else device)
        return f"{about.name} ({about.total_memory / 1e9:.0f} GB memory)"
    cores, model = os.cpu_count(), platform.processor() or platform.machine()
    names = Path("/proc/cpuinfo")
    if names.is_file():
        found = re.search(r"^model name\s*: (.+)$", names.read_text(), re.MULTILINE)
        model = found[1] if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"CPU: {model}, {cores} cores ({memory / 1e9:.0f} GB memory)"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return " ± ".join(f"{value[key]:.6f}" for key in ("mean", "std") if key in value) or "n/a"
    return f"{value:,}" if isinstance(value, int) else value or ""


def _performance(spread: tuple[float, float]) -> dict[str, float]:
    """Names mean and deviation, leaving out what is not a number."""
    named = zip(("mean", "std"), spread, strict=True)
    return {key: value for key, value in named if not math.isnan(value)}
