"""OGB's node data sets, from their raw files to arrays that are mapped into memory.

Nothing is downloaded here (see `graphattn data download`), nothing is unpickled, and the folder of
the raw files is never written to.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from graphattn.datasets.cached_nodes import CachedNodes, damage_told, read_edges, read_nodes
from graphattn.datasets.ogb_cache import CacheBuilder, cache_folder, check_cache, read_manifest
from graphattn.datasets.ogb_files import PARTS
from graphattn.datasets.ogb_raw import RawFolder
from graphattn.datasets.ogb_table import OGB, OgbSpec
from graphattn.datasets.splits import Split
from graphattn.files import read_array
from graphattn.keys import nearest


@dataclass(frozen=True, eq=False)
class OgbGraph(CachedNodes):
    """A data set as it lies in the cache; of mag its papers and citations.

    The features of proteins are the mean over each node's edges.

    Attributes:
        spec: What OGB says of it.
        split: The standard split.
        extra: A further number a node, such as its year, if there is one.

    Example:
        >>> OgbGraph.__name__
        'OgbGraph'
    """

    spec: OgbSpec
    split: Split
    extra: Tensor | None


def open_ogb(
    name: str,
    root: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    verify: bool = False,
    progress: bool = True,
) -> OgbGraph:
    """Open a data set, from the cache where it is there, else from its raw files.

    The first call reads the raw files once, in blocks, and writes the cache: features need a block
    of memory, edges three buckets of 128 MiB and 8 bytes a node (and 8 bytes an edge on the disk
    meanwhile), whatever the size of the graph. A killed build goes on with the step it was at.
    Later calls map the files.

    Args:
        name: One of `graphattn.datasets.ogb_table.OGB`, such as "ogbn-arxiv".
        root: Folder that holds `ogbn_arxiv/raw` and so on, as `ogb` lays it out, processed or not;
            by default that of the variable GRAPHATTN_DATA. It is only read.
        cache: Folder of the caches; by default that of GRAPHATTN_CACHE, else `~/.cache/graphattn`.
        verify: Read all of the cache and compare its hashes, rather than the files' lengths.
        progress: Show bars while raw files are read, if there is a terminal.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: There are no raw files, and no cache of them.
        ValueError: A raw file is missing or wrong (the first bad line is named), or there is no
            data set of that name.
        CorruptDataset: A raw file is torn, or the cache damaged.
        OSError: The disk is full or cannot be written.

    Example:
        >>> open_ogb("ogbn-arvix")
        Traceback (most recent call last):
        ...
        ValueError: there is no data set 'ogbn-arvix' of OGB: did you mean 'ogbn-arxiv'?
    """
    folder, spec = _prepared(name, root, cache, progress)
    if verify:
        check_cache(folder, spec)
    manifest = read_manifest(folder, spec)
    nodes, file = read_nodes(folder, manifest), f"{spec.extra}.npy"
    with damage_told(folder):
        split = Split(*(torch.from_numpy(read_array(folder / f"{part}.npy")) for part in PARTS))
        extra = torch.from_numpy(_mapped(folder, file)) if file in manifest["files"] else None
    return OgbGraph(spec=spec, split=split, extra=extra, **nodes)


def load_ogb(
    name: str,
    root: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Data:
    """Load a data set as PyG data; of mag its papers and citations.

    Edges take 16 bytes each in memory here; `open_ogb` leaves them in the cache, and is what
    training uses.

    Args:
        name: As for `open_ogb`, like the others.
        root: Folder of the raw files.
        cache: Folder of the caches.
        progress: Show bars, if there is a terminal.

    Returns:
        Data with x (mapped), y, edge_index (ordered by target, then source; repeated edges
        merged), masks, name, metric (the data set's name, for OGB's own evaluator) and meta; a
        further number a node under its own name, such as `node_year`.

    Raises:
        FileNotFoundError: There are no raw files; see `open_ogb` for the others.

    Example:
        >>> load_ogb("ogbn-mags")
        Traceback (most recent call last):
        ...
        ValueError: there is no data set 'ogbn-mags' of OGB: did you mean 'ogbn-mag'?
    """
    opened = open_ogb(name, root, cache=cache, progress=progress)
    train, val, test = opened.split.masks(len(opened.x))
    data = Data(
        x=opened.x,
        y=opened.y,
        edge_index=read_edges(opened.folder),
        train_mask=train,
        val_mask=val,
        test_mask=test,
        name=name,
        metric=name,
        meta=_meta(opened.spec),
    )
    if opened.extra is not None and opened.spec.extra is not None:
        data[opened.spec.extra] = opened.extra
    return data


def load_mag(
    root: str | Path | None = None, *, cache: str | Path | None = None, progress: bool = True
) -> HeteroData:
    """Load ogbn-mag with all its types of nodes and relations.

    Args:
        root: As for `open_ogb`, like the others.
        cache: Folder of the caches.
        progress: Show bars, if there is a terminal.

    Returns:
        Edges as they are listed, for each relation; nodes of each type, those of papers with x, y,
        masks and `node_year`.

    Raises:
        FileNotFoundError: There are no raw files; see `open_ogb` for the others.

    Example:
        >>> load_mag("/nowhere", cache="/nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: ogbn-mag is read from ...
    """
    opened = open_ogb("ogbn-mag", root, cache=cache, progress=progress)
    facts = read_manifest(opened.folder, opened.spec)["facts"]
    data = HeteroData()
    with damage_told(opened.folder):
        for kind, count in facts["nodes"].items():
            data[kind].num_nodes = count
        for number, triplet in enumerate(facts["relations"]):
            lines = _mapped(opened.folder, f"relation-{number}.npy")
            data[tuple(triplet)].edge_index = torch.from_numpy(np.ascontiguousarray(lines.T))
    paper = data["paper"]
    paper.x, paper.y = opened.x, opened.y
    paper.train_mask, paper.val_mask, paper.test_mask = opened.split.masks(len(opened.x))
    if opened.extra is not None:
        paper.node_year = opened.extra
    return data


def _prepared(
    name: str, root: str | Path | None, cache: str | Path | None, progress: bool
) -> tuple[Path, OgbSpec]:
    if name not in OGB:
        near = nearest(name, OGB)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(OGB)}."
        raise ValueError(f"there is no data set {name!r} of OGB: {hint}")
    spec = OGB[name]
    source = raw_folder(spec, root)
    folder = cache_folder(spec, source, cache)
    raw = RawFolder(source, spec, progress=progress)
    builder = CacheBuilder(folder, raw)
    if not builder.is_current():
        if not (source / "raw").is_dir():
            raise FileNotFoundError(
                f"{name} is read from {source / 'raw'}: there is no such folder. "
                f"`graphattn data download {name} --root {source.parent}` fetches it "
                f"({spec.gigabytes:g} GB), `graphattn data synth {name} --out {source.parent}` "
                "makes one like it."
            )
        builder.build()
    return folder, spec


def raw_folder(spec: OgbSpec, root: str | Path | None) -> Path:
    """Return the folder of a data set's raw files under a root, whether there or not.

    Args:
        spec: Which data set.
        root: By default that of the variable GRAPHATTN_DATA.

    Raises:
        FileNotFoundError: No root was given.

    Example:
        >>> raw_folder(OGB["ogbn-mag"], ".").name
        'ogbn_mag'
    """
    given = root or os.environ.get("GRAPHATTN_DATA")
    if not given:
        raise FileNotFoundError(
            f"{spec.name} is read from a folder of OGB data: none was given; give data.root, or "
            "set GRAPHATTN_DATA=/path/to/folder."
        )
    candidates = [Path(given) / name for name in (spec.folder, f"{spec.folder}_pyg")]
    return next((path for path in candidates if (path / "raw").is_dir()), candidates[0])


def _mapped(folder: Path, name: str) -> NDArray[Any]:
    return read_array(folder / name, mmap=True)


def _meta(spec: OgbSpec) -> dict[str, Any]:
    return {
        "num_classes": spec.num_classes,
        "source": f"{spec.url} (Hu et al. 2020)",
        "licence": spec.licence,
        "note": f"{spec.num_tasks} label(s) a node, split by {spec.split}",
    }
