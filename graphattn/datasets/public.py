"""Public data sets other than OGB's, from their authors' raw files to arrays mapped into memory.

Nothing is downloaded here (see `graphattn data download`), nothing is unpickled, and the folder of
the raw files is never written to.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch_geometric.data import Data

from graphattn.datasets.cached_nodes import CachedNodes, damage_told, read_edges, read_nodes
from graphattn.datasets.city_archive import CityArchive
from graphattn.datasets.heterophilous import HeterophilousFiles
from graphattn.datasets.linkx import LinkxFiles
from graphattn.datasets.ogb_cache import CacheBuilder, cache_folder, check_cache, read_manifest
from graphattn.datasets.planetoid import PlanetoidFiles
from graphattn.datasets.public_raw import RawFiles
from graphattn.datasets.public_steps import public_steps
from graphattn.datasets.public_table import PUBLIC, PublicSpec
from graphattn.datasets.shchur import ShchurFiles
from graphattn.datasets.splits import Split
from graphattn.files import read_array
from graphattn.keys import nearest

_FORMATS: dict[str, type[RawFiles]] = {
    "city_networks": CityArchive,
    "heterophilous": HeterophilousFiles,
    "linkx": LinkxFiles,
    "planetoid": PlanetoidFiles,
    "shchur": ShchurFiles,
}


@dataclass(frozen=True, eq=False)
class PublicGraph(CachedNodes):
    """A data set as it lies in the cache.

    Attributes:
        spec: What is known of it.
        splits: The authors' own, those of `<name>-splits.npy`, or drawn and recorded.
        rule: Which of these, in words.

    Example:
        >>> PublicGraph.__name__
        'PublicGraph'
    """

    spec: PublicSpec
    splits: list[Split]
    rule: str


def open_public(
    name: str,
    root: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    verify: bool = False,
) -> PublicGraph:
    """Open a data set, from the cache where it is there, else from its raw files.

    The first call reads the raw files once and writes the cache. Features that are sparse in the
    file are held sparse; the edges are held as listed. A killed build goes on with the step it was
    at. Later calls map the files.

    Args:
        name: One of `graphattn.datasets.public_table.PUBLIC`, such as "snap-patents".
        root: Folder that holds the raw files: themselves, or in `snap_patents/raw` and so on, or as
            PyG lays them out; by default that of the variable GRAPHATTN_DATA. It is only read.
        cache: Folder of the caches; by default that of GRAPHATTN_CACHE, else `~/.cache/graphattn`.
        verify: Read all of the cache and compare its hashes, rather than the files' lengths.

    Returns:
        The data set.

    Raises:
        FileNotFoundError: There are no raw files, and no cache of them.
        ValueError: A raw file is missing or contradicts itself, or there is no such name.
        CorruptDataset: A raw file is torn or hostile, or the cache damaged.
        OSError: The disk is full or cannot be written.

    Example:
        >>> open_public("snap-patent")
        Traceback (most recent call last):
        ...
        ValueError: there is no public data set 'snap-patent': did you mean 'snap-patents'?
    """
    if name not in PUBLIC:
        near = nearest(name, PUBLIC)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(PUBLIC)}."
        raise ValueError(f"there is no public data set {name!r}: {hint}")
    spec = PUBLIC[name]
    source = raw_place(spec, root, cache=cache)
    folder = cache_folder(spec, source, cache)
    builder = CacheBuilder(folder, _FORMATS[spec.family](source, spec), public_steps)
    if not builder.is_current():
        if not (source / spec.files[0]).is_file():
            raise FileNotFoundError(
                f"{name} is read from {spec.files[0]}: got none in {source}, nor in the other "
                f"folders of data.root where it is looked for; {how_to_get(spec, source)}."
            )
        builder.build()
    if verify:
        check_cache(folder, spec)
    manifest = read_manifest(folder, spec)
    nodes = read_nodes(folder, manifest)
    with damage_told(folder):
        table = torch.from_numpy(read_array(folder / "splits.npy"))
        parts = [[(row == part).nonzero().view(-1) for part in range(3)] for row in table]
        rule = str(manifest["facts"]["rule"])
    return PublicGraph(spec=spec, splits=[Split(*ids) for ids in parts], rule=rule, **nodes)


def load_public(
    name: str, root: str | Path | None = None, *, cache: str | Path | None = None
) -> Data:
    """Load a data set as PyG data.

    Edges take 16 bytes each in memory here; `open_public` leaves them in the cache, and is what
    training uses.

    Args:
        name: As for `open_public`, like the others.
        root: Folder of the raw files.
        cache: Folder of the caches.

    Returns:
        Data with x (mapped), y, edge_index (ordered by target, then source; repeated edges
        merged), masks `[nodes, splits]`, name, metric and meta.

    Raises:
        FileNotFoundError: There are no raw files; see `open_public` for the others.

    Example:
        >>> load_public("pokec", "/nowhere", cache="/nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: pokec is read from pokec.mat: got none in /nowhere/pokec/raw, nor in ...
    """
    opened = open_public(name, root, cache=cache)
    masks = [split.masks(len(opened.x)) for split in opened.splits]
    train, val, test = (torch.stack(part, dim=1) for part in zip(*masks, strict=True))
    spec = opened.spec
    return Data(
        x=opened.x,
        y=opened.y,
        edge_index=read_edges(opened.folder),
        train_mask=train,
        val_mask=val,
        test_mask=test,
        name=name,
        metric=spec.metric,
        meta={
            "num_classes": spec.num_classes,
            "source": spec.source,
            "licence": spec.licence,
            "note": f"splits: {opened.rule}",
        },
    )


def raw_place(
    spec: PublicSpec, root: str | Path | None, *, cache: str | Path | None = None
) -> Path:
    """Return the folder of a data set's raw files under a root, whether there or not.

    Args:
        spec: Which data set.
        root: By default that of the variable GRAPHATTN_DATA.
        cache: Folder of the caches: files that are gone lie where they were cached from.

    Raises:
        FileNotFoundError: No root was given.

    Example:
        >>> raw_place(PUBLIC["pokec"], ".").as_posix()
        'pokec/raw'
    """
    given = root or os.environ.get("GRAPHATTN_DATA")
    if not given:
        raise FileNotFoundError(
            f"{spec.name} is read from a folder of raw files: none was given; give data.root, or "
            "set GRAPHATTN_DATA=/path/to/folder."
        )
    own = f"{spec.folder}/raw"
    places = [Path(given) / place for place in (own, *spec.places, spec.folder, "")]
    there = [place for place in places if (place / spec.files[0]).is_file()]
    there += [p for p in places if (cache_folder(spec, p, cache) / "manifest.json").is_file()]
    return (there or places)[0]


def how_to_get(spec: PublicSpec, place: Path) -> str:
    """Say how the raw files come into a folder.

    Args:
        spec: Of which data set.
        place: The folder.

    Example:
        >>> how_to_get(PUBLIC["pokec"], Path("pokec/raw"))
        'fetch pokec.mat by hand from where https://github.com/CUAI/... and put it there'
    """
    if spec.address:
        return f"`graphattn data download {spec.name} --root FOLDER` fetches it"
    home = next(word for word in spec.source.split() if "github" in word).rstrip(";")
    return (
        f"fetch {', '.join(spec.files)} by hand from where {home} says (it has no address that "
        "stays) and put it there"
    )
