"""Reading a config's dotted keys and number lists, and refusing what nobody would read."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml


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
        raise ValueError(f"{path} cannot be read as a config: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold keys and values: got {type(content).__name__}.")
    return content


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


def check_keys(keys: Iterable[str], known: Iterable[str], *, free: tuple[str, ...] = ()) -> None:
    """Refuse a key that nobody reads, and name the nearest that somebody does.

    Args:
        keys: Dotted keys as given.
        known: Dotted keys that exist; a section of them may stand empty.
        free: Prefixes that are not judged here.

    Raises:
        ValueError: The first unknown key.

    Example:
        >>> check_keys(["train.lr"], ["train.lr"])
    """
    known = list(known)
    sections = {key.rpartition(".")[0] for key in known}
    for key in keys:
        if key in known or key in sections or key.startswith(free or "\0"):
            continue
        near = nearest(key, known)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(known)[:8])}..."
        raise ValueError(f"unknown key {key}: {hint}")


def nearest(key: str, known: Iterable[str]) -> str:
    """Return the known key most like another, or "": the same last part, else the nearest whole.

    Example:
        >>> nearest("train.lrr", ["train.lr"]), nearest("model.lr", ["model.l", "train.lr"])
        ('train.lr', 'train.lr')
    """
    known = list(known)
    part = key.rpartition(".")[2]
    last = {other.rpartition(".")[2]: other for other in known}
    if part in last:
        return last[part]
    near = get_close_matches(key, known, n=1)
    return (near or [last[other] for other in get_close_matches(part, last, n=1)] or [""])[0]
