"""Reading a config's dotted keys and number lists, and refusing what nobody would read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

import yaml

# What others call a thing that has another name here.
_ALIASES = {
    "learning_rate": "lr",
    "dataset": "data.name",
    "data_name": "data.name",
    "model_name": "model.name",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "max_epochs": "epochs",
    "early_stopping": "patience",
    "optim": "optimizer",
    "scheduler": "schedule",
    "amp": "autocast",
    "precision": "autocast",
    "bs": "batch_size",
    "hidden": "hidden_channels",
    "hidden_dim": "hidden_channels",
    "hidden_size": "hidden_channels",
    "width": "hidden_channels",
    "depth": "num_layers",
    "num_heads": "heads",
    "random_seed": "seeds",
    "split": "splits",
    "gpu": "device",
    "output": "out",
    "output_dir": "out",
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of nested keys.

    Raises:
        ValueError: There is no such file, or it is no mapping.

    Example:
        >>> read_yaml(Path("nowhere.yaml"))
        Traceback (most recent call last):
        ...
        ValueError: nowhere.yaml cannot be read as a config: ...
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as a config: {_reason(error)}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold keys and values: got {type(content).__name__}.")
    return content


def section(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return what stands under a key of a config, which must be keys and values again, or nothing.

    Raises:
        ValueError: It is something else.

    Example:
        >>> section({"model": "gcn"}, "model")
        Traceback (most recent call last):
        ...
        ValueError: model must hold keys and values: got 'gcn'; did you mean model.name?
    """
    inner = content.get(key)
    if inner is not None and not isinstance(inner, Mapping):
        hint = f"; did you mean {key}.name?" if key in ("data", "model") else "."
        raise ValueError(f"{key} must hold keys and values: got {inner!r}{hint}")
    return dict(inner or {})


def numbers(given: str | int | Sequence[int], what: str) -> list[int]:
    """Read "0-9", "0,3", 4 or a list as distinct numbers from 0 on.

    Raises:
        ValueError: It is none of these.

    Example:
        >>> numbers("0-2,7", "seeds")
        [0, 1, 2, 7]
    """
    parts = str(given).split(",") if isinstance(given, str | int) else [str(n) for n in given]
    found: list[int] = []
    for part in parts:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if last < first:
            raise ValueError(f"{what} must be numbers such as 0, 0-9 or 0,3: got {given!r}.")
        found.extend(range(first, last + 1))
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{what} must be distinct numbers, at least one: got {given!r}.")
    return found


def flat_keys(nested: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of nested mappings.

    Example:
        >>> flat_keys({"train": {"lr": 1}, "out": None})
        ['train.lr', 'out']
    """
    keys: list[str] = []
    for key, value in nested.items():
        inner = isinstance(value, Mapping) and value and f"{prefix}{key}" != "data.options"
        keys += flat_keys(value, f"{prefix}{key}.") if inner else [f"{prefix}{key}"]
    return keys


def check_keys(
    keys: Iterable[str], known: Iterable[str], *, free: tuple[str, ...] = (), model: str = "model"
) -> None:
    """Refuse a key that nobody reads, and name the nearest that somebody does.

    Args:
        keys: Dotted keys as given.
        known: Dotted keys that exist; a section of them may stand empty.
        free: Prefixes that are not judged here.
        model: What the section `model` belongs to, for the message.

    Raises:
        ValueError: The first unknown key, with the nearest there is, else all of its section.

    Example:
        >>> check_keys(["model.heads"], ["model.dropout", "model.num_layers"], model="mlp")
        Traceback (most recent call last):
        ...
        ValueError: unknown key model.heads: mlp has dropout, num_layers.
    """
    known = list(known)
    sections = {key.rpartition(".")[0] for key in known} - {""}
    for key in keys:
        if key in known or key in sections or key.startswith(free or "\0"):
            continue
        near = nearest(key, known)
        if near:
            raise ValueError(f"unknown key {key}: did you mean {near}?")
        of = key.rpartition(".")[0]
        if of in sections:
            own = [other.removeprefix(f"{of}.") for other in known if other.startswith(f"{of}.")]
            owner = model if of == "model" else of
            raise ValueError(f"unknown key {key}: {owner} has {', '.join(own)}.")
        alone = [other for other in known if "." not in other]
        there = [*(f"{name}.*" for name in sorted(sections)), *alone]
        raise ValueError(f"unknown key {key}: there are {', '.join(there)}.")


def check_texts(mapping: Mapping[str, Any], needed: Iterable[str], optional: Iterable[str]) -> None:
    """Refuse what is no text where a name or a path must be one.

    Args:
        mapping: Of a YAML file.
        needed: Dotted keys that must be texts where they are given.
        optional: Dotted keys that may also be null.

    Raises:
        TypeError: The first value that is none.

    Example:
        >>> check_texts({"data": {"name": [3]}}, ["data.name"], ["out"])
        Traceback (most recent call last):
        ...
        TypeError: data.name must be a text: got [3].
    """
    for keys, kinds in ((needed, str), (optional, str | None)):
        for key in keys:
            of, _, name = key.rpartition(".")
            value = (section(mapping, of) if of else mapping).get(name, "")
            if not isinstance(value, kinds):
                raise TypeError(f"{key} must be a text: got {value!r}.")


def nearest(key: str, known: Iterable[str]) -> str:
    """Return the known key most like another, or "".

    The same last part in the nearest section comes first, then what others call a thing, then a
    like last part, of the same section if there is one.

    Example:
        >>> known = ["data.name", "model.heads", "train.lr", "train.epochs"]
        >>> [nearest(key, known) for key in ("train.learning_rate", "lr", "train.epoch", "dataset")]
        ['train.lr', 'train.lr', 'train.epochs', 'data.name']
        >>> nearest("model.width", known)
        ''
    """
    known = list(known)
    of, _, part = key.lower().replace("-", "_").rpartition(".")
    last = {other: other.rpartition(".")[2] for other in known}
    alias = _ALIASES.get(part, "")
    near = get_close_matches(part, list(dict.fromkeys(last.values())), n=3, cutoff=0.7)
    here = [name for name in near if f"{of}.{name}" in known]
    for wanted in (part, alias, *here, *near):
        found = [other for other in known if wanted in (other, last[other])]
        if found:
            return max(found, key=lambda other: SequenceMatcher(None, key, other).ratio())
    return ""


def _reason(error: Exception) -> str:
    """Say in a few words why a file is no YAML, with line and column where they are known."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is no YAML"
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return where + " ".join(str(problem).split())
