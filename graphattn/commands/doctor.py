"""`graphattn doctor`: what is installed and live, with what to type to mend the rest."""

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from graphattn.arguments import Arguments

_NEEDED = (
    *("torch", "torch-geometric", "numpy", "scipy", "numba", "networkx", "scikit-learn", "ogb"),
    *("safetensors", "jaxtyping", "jsonargparse", "PyYAML", "xxhash", "filelock", "tqdm"),
)
# Extra by extra: the package, and what it is good for.
_EXTRAS = {
    "plot": ("matplotlib", "report.html"),
    "osm": ("osmium", "reading OpenStreetMap extracts"),
    "text": ("sentence-transformers", "features from text"),
    "hf": ("transformers", "adapters for Hugging Face models"),
    "distributed": ("ray", "preprocessing and training on several machines"),
    "track": ("tensorboard", "curves in TensorBoard"),
}


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        state: "ok", "off" (optional and not there) or "broken".
        what: Which thing.
        detail: What was found.
        mend: What to type; empty where nothing is to be mended.

    Example:
        >>> Finding("ok", "torch", "2.13.0").mend
        ''
    """

    state: str
    what: str
    detail: str
    mend: str = ""


def main(argv: Sequence[str]) -> int:
    """Run `graphattn doctor`.

    Example:
        >>> code = main([])
        ok ...
    """
    Arguments(
        prog="graphattn doctor", description="Say what is installed and what is live."
    ).parse_args(list(argv))
    findings = examine()
    print(report(findings))
    return 3 if any(finding.state == "broken" for finding in findings) else 0


def examine() -> list[Finding]:
    """Look at the installation; nothing is changed and nothing downloaded.

    Returns:
        Findings, the needed parts first.

    Example:
        >>> examine()[0].what
        'python'
    """
    return [
        Finding("ok", "python", f"{platform.python_version()} at {sys.executable}"),
        Finding("ok", "graphattn", importlib.import_module("graphattn").__version__),
        *(_needed(name) for name in _NEEDED),
        _device(),
        _kernel_cache(),
        _data(),
        *(_extra(extra, *about) for extra, about in _EXTRAS.items()),
        _torch_scatter(),
        _pyg_lib(),
    ]


def report(findings: list[Finding]) -> str:
    """Return findings as lines of text.

    Example:
        >>> print(report([Finding("off", "ray", "not installed", "pip install ray")]))
        off     ray  not installed
                     -> pip install ray
    """
    width = max(len(finding.what) for finding in findings)
    lines = []
    for state, what, detail, mend in findings:
        lines.append(f"{state:<7} {what:<{width}}  {detail}")
        if mend:
            lines.append(f"{'':<7} {'':<{width}}  -> {mend}")
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _needed(name: str) -> Finding:
    found = _version(name)
    if found is None:
        return Finding("broken", name, "not installed", f"pip install {name}")
    return Finding("ok", name, found)


def _extra(extra: str, name: str, use: str) -> Finding:
    found = _version(name)
    if found is None:
        return Finding("off", name, f"not installed: {use}", f"pip install 'graphattn[{extra}]'")
    return Finding("ok", name, f"{found}: {use}")


def _device() -> Finding:
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return Finding(
            "broken", "device", f"torch cannot be imported: {error}", "pip install torch"
        )
    threads = f"{torch.get_num_threads()} CPU threads"
    if torch.cuda.is_available():
        return Finding("ok", "device", f"{torch.cuda.get_device_name()}, {threads}")
    return Finding("ok", "device", f"{threads}, no CUDA device: training runs on the CPU")


def _kernel_cache() -> Finding:
    named = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(__file__).parents[1] / "kernels" / "__pycache__"
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "numba"
    for folder in [Path(named)] if named else [beside, user]:
        nearest = next((p for p in [folder, *folder.parents] if p.exists()), folder)
        if os.access(nearest, os.W_OK):
            return Finding("ok", "kernel cache", str(folder))
    detail = "no writable folder: kernels are compiled anew in every process"
    return Finding("off", "kernel cache", detail, "export NUMBA_CACHE_DIR=/path/you/may/write")


def _data() -> Finding:
    root = os.environ.get("GRAPHATTN_DATA")
    if not root:
        detail = "not set: only built-in data sets and files by path"
        return Finding(
            "off", "GRAPHATTN_DATA", detail, "export GRAPHATTN_DATA=/folder/of/npz/files"
        )
    if not Path(root).is_dir():
        detail = f"{root} is no folder"
        mend = "export GRAPHATTN_DATA=/folder/of/npz/files"
        return Finding("broken", "GRAPHATTN_DATA", detail, mend)
    count = len(list(Path(root).glob("*.npz")))
    free = shutil.disk_usage(root).free / 1e9
    return Finding("ok", "GRAPHATTN_DATA", f"{root}: {count} data sets, {free:.0f} GB free")


def _torch_scatter() -> Finding:
    mend = (
        "pip install --no-build-isolation --no-cache-dir --no-deps torch-scatter==2.1.2 "
        "(minutes; needs a compiler; nothing depends on it)"
    )
    used = "rows are summed by kernels of our own and by torch's scatter"
    if find_spec("torch_scatter") is None:
        return Finding("off", "torch-scatter", f"not installed, not needed: {used}", mend)
    try:
        module = importlib.import_module("torch_scatter")
    except (ImportError, OSError) as error:
        detail = f"built for another torch, not used: {used} ({error})".splitlines()[0]
        return Finding("broken", "torch-scatter", detail, f"pip uninstall -y torch-scatter; {mend}")
    if not hasattr(module, "scatter"):
        detail = f"an empty package, not used: {used}"
        return Finding("off", "torch-scatter", detail, "pip uninstall -y torch-scatter")
    if not _sums_as_torch(module):
        detail = f"gives other sums than torch, not used: {used}"
        return Finding("broken", "torch-scatter", detail, "pip uninstall -y torch-scatter")
    detail = f"{_version('torch-scatter') or 'installed'}, sums as torch does; PyG may use it"
    return Finding("ok", "torch-scatter", detail)


def _sums_as_torch(module: Any) -> bool:
    """Whether torch-scatter adds four rows to two as torch does; it may be built for another."""
    torch = importlib.import_module("torch")
    rows, index = torch.arange(8.0).view(4, 2), torch.tensor([1, 0, 1, 1])
    expected = torch.zeros(2, 2).index_add(0, index, rows)
    try:
        return bool(torch.equal(module.scatter(rows, index, dim=0, reduce="sum"), expected))
    except (RuntimeError, TypeError, OSError, AttributeError):
        return False


def _pyg_lib() -> Finding:
    built_for = (_version("torch") or "<torch>").partition("+")[0]
    mend = (
        f"pip install pyg-lib -f https://data.pyg.org/whl/torch-{built_for}+cpu.html "
        "(or +cu126, ...; it is not on PyPI)"
    )
    if find_spec("pyg_lib") is None:
        detail = "not installed: only PyG's NeighborLoader needs it, nothing here does"
        return Finding("off", "pyg-lib", detail, mend)
    try:
        importlib.import_module("pyg_lib")
    except (ImportError, OSError) as error:
        return Finding("broken", "pyg-lib", f"not used: {error}".splitlines()[0], mend)
    return Finding("ok", "pyg-lib", _version("pyg-lib") or "installed")
