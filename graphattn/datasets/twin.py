"""Made data sets of the size and shape of OGB's, in the layout of their raw files."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from graphattn.datasets.ogb_files import CITES, PARTS, relation_folder
from graphattn.datasets.ogb_table import MAG_EDGES, MAG_NODES, OGB
from graphattn.datasets.twin_files import ArchiveFile, write_cells, write_table
from graphattn.datasets.twin_plan import Twin, cuts
from graphattn.files import check_space, write_json
from graphattn.outputs import output_folder

Shown = Callable[[Iterator[NDArray[Any]]], Iterator[NDArray[Any]]]


def write_twin(
    name: str, out: str | Path, *, scale: float = 1.0, seed: int = 0, progress: bool = True
) -> Path:
    """Write a twin of an OGB data set, all of it or nothing.

    Args:
        name: Of the original, such as "ogbn-arxiv".
        out: Root folder, as `ogb` and `open_ogb` take it; made if missing.
        scale: Of nodes and edges, in (0, 1].
        seed: The same seed and scale give the same bytes.
        progress: Show a bar, if there is a terminal.

    Returns:
        The folder written, `<out>/ogbn_arxiv` or the like; `twin.json` in it says what it is.

    Raises:
        ValueError: There is no such original, the scale is out of range, or the folder exists.
        OSError: The disk is too small, or cannot be written.

    Example:
        >>> import tempfile
        >>> folder = write_twin("ogbn-arxiv", tempfile.mkdtemp(), scale=0.005)
        >>> sorted(path.name for path in (folder / "raw").iterdir())[:2]
        ['edge.csv.gz', 'node-feat.csv.gz']
    """
    if name not in OGB:
        raise ValueError(f"a twin must be of one of {', '.join(OGB)}: got {name!r}.")
    twin = Twin(OGB[name], scale, seed)
    root = output_folder(Path(out), "out")
    folder, work = root / twin.spec.folder, root / f".{twin.spec.folder}.making"
    if folder.exists():
        raise ValueError(f"{folder} exists: choose another folder, nothing is overwritten.")
    if work.exists() and not (work / "twin.json").is_file():
        raise ValueError(f"{work} is needed to make the twin, and no twin was made there; move it.")
    check_space(root, 8 * twin.num_nodes * twin.spec.channels + 20 * twin.num_edges)
    shutil.rmtree(work, ignore_errors=True)  # of a twin that was interrupted
    work.mkdir()
    about = {"twin_of": name, "scale": scale, "seed": seed, "made": True}
    write_json(work / "twin.json", about)
    (work / f"RELEASE_v{twin.spec.version}.txt").write_text("a twin, made by graphattn\n")
    with tqdm(desc=f"{name} x {scale:g}", unit=" rows", disable=None if progress else True) as bar:
        _write(twin, work, bar)
    work.rename(folder)
    return folder


def _write(twin: Twin, folder: Path, bar: Any) -> None:
    def shown(blocks: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for block in blocks:
            yield block
            bar.update(len(block))

    spec, raw, split = twin.spec, folder / "raw", folder / "split" / twin.spec.split
    if spec.name == "ogbn-mag":
        split = split / "paper"
        write_cells(split.parent / "nodetype-has-split.csv.gz", _only_papers())
    for number, part in enumerate(PARTS):
        ids = np.flatnonzero(twin.part == number).reshape(-1, 1)
        write_table(split / f"{part}.csv.gz", [ids])
    if spec.binary:
        _write_archives(twin, raw, shown)
        return
    edges, nodes, labels = raw, raw, raw
    if spec.name == "ogbn-mag":
        edges, nodes = folder / relation_folder(CITES), raw / "node-feat" / "paper"
        labels = raw / "node-label" / "paper"
        _write_mag(twin, folder)
    else:
        write_table(raw / "num-node-list.csv.gz", [np.array([[twin.num_nodes]])])
    write_table(edges / "num-edge-list.csv.gz", [np.array([[twin.num_edges]])])
    write_table(edges / "edge.csv.gz", shown(pairs.T for pairs in twin.edges()))
    if spec.num_tasks > 1:
        drawn = (twin.edge_features(pairs, i) for i, pairs in enumerate(twin.edges()))
        write_table(edges / "edge-feat.csv.gz", shown(drawn), places=3)
    else:
        write_table(nodes / "node-feat.csv.gz", shown(twin.features()), places=4)
    write_table(labels / "node-label.csv.gz", shown(twin.labels()))
    if spec.extra is not None:
        write_table(nodes / f"{spec.extra}.csv.gz", shown(twin.extra()))


def _write_archives(twin: Twin, raw: Path, shown: Shown) -> None:
    nodes, edges = twin.num_nodes, twin.num_edges

    def labelled() -> Iterator[NDArray[np.float32]]:
        for block, ids in zip(twin.labels(), cuts(nodes), strict=True):
            yield np.where(twin.part[ids, None] < 3, block, np.nan).astype(np.float32)

    with ArchiveFile(raw / "data.npz") as archive:
        ends = (pairs[row] for row in (0, 1) for pairs in twin.edges())
        archive.add("edge_index", (2, edges), np.int64, shown(ends))
        archive.add("num_nodes_list", (1,), np.int64, [np.array([nodes])])
        archive.add("num_edges_list", (1,), np.int64, [np.array([edges])])
        archive.add("node_feat", (nodes, twin.spec.channels), np.float32, shown(twin.features()))
        archive.add("node_year", (nodes, 1), np.int64, shown(twin.extra()))
    with ArchiveFile(raw / "node-label.npz") as archive:
        archive.add("node_label", (nodes, 1), np.float32, labelled())


def _write_mag(twin: Twin, folder: Path) -> None:
    """Write mag's other types and relations; who wrote what, where, and of what, is any."""
    raw = folder / "raw"
    nodes = {kind: max(10, round(count * twin.scale)) for kind, count in MAG_NODES.items()}
    nodes["paper"] = twin.num_nodes
    write_cells(raw / "num-node-dict.csv.gz", [list(nodes), list(nodes.values())])
    write_cells(raw / "triplet-type-list.csv.gz", list(MAG_EDGES))
    for what in ("feat", "label"):
        write_cells(raw / f"nodetype-has-{what}.csv.gz", _only_papers())
    for number, (triplet, count) in enumerate(MAG_EDGES.items()):
        relation = folder / relation_folder(triplet)
        lines = twin.num_edges if triplet == CITES else max(10, round(count * twin.scale))
        reltype = (np.full((len(ids), 1), number) for ids in cuts(lines))
        write_table(relation / "edge_reltype.csv.gz", reltype)
        if triplet == CITES:
            continue
        sizes = np.array([nodes[triplet[0]], nodes[triplet[2]]])
        write_table(relation / "num-edge-list.csv.gz", [np.array([[lines]])])
        drawn = (
            (twin.generator(11, number, block).random((len(ids), 2)) ** 2 * sizes).astype(np.int64)
            for block, ids in enumerate(cuts(lines))
        )
        write_table(relation / "edge.csv.gz", drawn)


def _only_papers() -> list[list[object]]:
    kinds = sorted(MAG_NODES)
    return [list(kinds), [kind == "paper" for kind in kinds]]
