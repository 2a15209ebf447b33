"""The run folder: where each run of it lies, whether it may be gone on with, its fresh start."""

import re
import shutil
from pathlib import Path

from graphattn.config import RunConfig
from graphattn.keys import read_yaml
from graphattn.training.fingerprint import check_fingerprint

_RUN = re.compile(r"split(\d+)-seed(\d+)")


def run_folders(run: Path) -> dict[tuple[int, int], Path]:
    """Return the folder of each (split, seed) of a run folder, in order.

    Args:
        run: A run folder, or one of its split-seed folders.

    Raises:
        ValueError: It is neither.

    Example:
        >>> run_folders(Path("nowhere"))
        Traceback (most recent call last):
        ...
        ValueError: nowhere is no run folder: ...
    """
    candidates = [run] if _RUN.fullmatch(run.name) else sorted(run.glob("split*-seed*"))
    found = {}
    for folder in candidates:
        match = _RUN.fullmatch(folder.name)
        if match and (folder / "config.yaml").is_file():
            found[int(match[1]), int(match[2])] = folder
    if not found:
        raise ValueError(
            f"{run} is no run folder: it must hold split0-seed0/config.yaml or the like, as "
            "`graphattn train --out` writes it."
        )
    return dict(sorted(found.items()))


def run_folder(folder: Path, split: int, seed: int) -> Path:
    """Return where one run of a run folder lies.

    Example:
        >>> run_folder(Path("runs/a"), 0, 3).name
        'split0-seed3'
    """
    return folder / f"split{split}-seed{seed}"


def refuse_another(folder: Path, config: RunConfig) -> None:
    """Refuse a folder that holds runs of another configuration.

    Raises:
        ValueError: Each differing key, with both values.

    Example:
        >>> from graphattn.config import DataOptions
        >>> refuse_another(Path("nowhere"), RunConfig(DataOptions("karate")))
    """
    path = folder / "config.yaml"
    if path.exists() and any(folder.glob("split*-seed*/last")):
        before = RunConfig.from_mapping(read_yaml(path))
        try:
            check_fingerprint(folder, before.fingerprint(), config.fingerprint())
        except ValueError as error:
            raise ValueError(f"{error} Or start anew with --overwrite.") from error


def prepare(folder: Path, config: RunConfig, *, overwrite: bool) -> None:
    """Write the config into a run folder, and with `overwrite` remove the runs in it first.

    Example:
        >>> import tempfile
        >>> from graphattn.config import DataOptions
        >>> folder = Path(tempfile.mkdtemp())
        >>> prepare(folder, RunConfig(DataOptions("karate")), overwrite=False)
        >>> [path.name for path in folder.iterdir()]
        ['config.yaml']
    """
    if overwrite:
        for old in folder.glob("split*-seed*"):
            if _RUN.fullmatch(old.name):
                shutil.rmtree(old)
        (folder / "result.json").unlink(missing_ok=True)
    config.write(folder / "config.yaml")
