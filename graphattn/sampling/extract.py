"""The rows that a few seeds read, drawn once and laid side by side on disk, seed after seed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from graphattn.checks import check_least
from graphattn.corrupt import CorruptFile
from graphattn.files import (
    check_space,
    digest_arrays,
    read_array,
    read_json,
    write_array,
    write_json,
)
from graphattn.kernels.distinct import distinct
from graphattn.memory import usable_memory
from graphattn.ops.neighborhood import Neighborhood, Pool
from graphattn.outputs import lock, output_folder
from graphattn.sampling.bottom_k import BottomKSampler
from graphattn.sampling.loader import TokenBatch, TokenLoader, independent
from graphattn.sampling.manifest import is_sound
from graphattn.sampling.store import TokenStore

_FORMAT = 1
_BASIC = ("rows", "ids", "mask", "hop")


class ExtractedTokens:
    """Tokens of some seeds on disk, with the rows they read; made by :func:`extract_tokens`.

    Args:
        seeds: Ids, ascending, each once.
        shards: Tables by name, one row a seed: ``rows`` ``[seeds, samples, contexts, channels]``,
            ``ids``, ``mask`` and ``hop`` ``[seeds, samples]``, perhaps ``own`` and ``pe``.
        manifest: What they were drawn from, by which options.
    """

    def __init__(
        self,
        seeds: npt.NDArray[np.int64],
        shards: list[dict[str, npt.NDArray[Any]]],
        manifest: dict[str, Any],
    ) -> None:
        self.seeds, self.manifest, self._shards = seeds, manifest, shards

    def holds(self, seeds: Int64[Tensor, " seeds"]) -> bool:
        """Tells whether all of some seeds were extracted."""
        return bool(np.isin(seeds.numpy(), self.seeds).all())

    def check(self, loader: TokenLoader) -> None:
        """Refuses a loader whose batches would have other bits.

        Raises:
            ValueError: It draws anew each epoch, or from another store, or otherwise.
        """
        if loader.resample:
            raise ValueError("extracted rows are of one draw: got resample=True, pass False.")
        _check_same(self.manifest, _wanted(loader), "the extraction")

    def batch(self, seeds: Int64[Tensor, " seeds"]) -> TokenBatch:
        """Returns the batch of some seeds, with the bits that a loader gives without extraction.

        Args:
            seeds: Of those that were extracted.

        Raises:
            ValueError: Nothing was extracted for a seed; the first five are named.
        """
        found = self.gather(seeds)
        nodes, ids = distinct(found["ids"], self.manifest["num_nodes"])
        place = np.empty(nodes.size, np.int64)
        place[ids.reshape(-1)] = np.arange(ids.size)  # where a row of each distinct node lies
        rows = found["rows"].reshape(-1, *found["rows"].shape[2:])
        tensors = {name: torch.from_numpy(table) for name, table in found.items()}
        return TokenBatch(
            seeds=seeds,
            rows=torch.from_numpy(rows[place]),
            ids=torch.from_numpy(ids),
            mask=tensors["mask"],
            hop=tensors["hop"].long(),
            own=tensors.get("own"),
            pe=tensors.get("pe"),
        )

    def gather(self, seeds: Int64[Tensor, " rows"]) -> dict[str, npt.NDArray[Any]]:
        """Reads all that is kept of some seeds, one contiguous piece a seed and table.

        Args:
            seeds: Of those that were extracted; may repeat.

        Returns:
            Tables by name, one row a seed, in the order asked for.

        Raises:
            ValueError: Nothing was extracted for a seed; the first five are named.
        """
        wanted = seeds.numpy()
        known = np.isin(wanted, self.seeds)
        if not known.all():
            raise ValueError(
                f"rows were extracted for {self.seeds.size} seeds: got "
                f"{wanted[~known][:5].tolist()} ({int((~known).sum())} such seeds), which are none "
                "of them."
            )
        places = np.searchsorted(self.seeds, wanted)
        size = int(self.manifest["shard_seeds"])
        found: dict[str, npt.NDArray[Any]] = {}
        for name, table in self._shards[0].items():
            found[name] = out = np.empty((places.size, *table.shape[1:]), table.dtype)
            for number in np.unique(places // size):
                here = places // size == number
                out[here] = self._shards[number][name][places[here] - number * size]
        return found


def extract_tokens(
    path: Path | str,
    store: TokenStore,
    seeds: Int64[Tensor, " seeds"],
    num_samples: int,
    *,
    num_hops: int = 2,
    pool: Pool | None = None,
    sampler: Callable[..., Neighborhood] = BottomKSampler(),  # noqa: B008 - frozen
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
) -> ExtractedTokens:
    """Draws the tokens of some seeds once, and writes the rows they read side by side.

    The store is read in ascending order, once a shard. The same call goes on after a kill, and
    makes a damaged shard again.

    Args:
        path: The folder, new, empty or of an earlier try.
        store: Where rows come from.
        seeds: Ids of nodes; those that repeat are extracted once.
        num_samples: Tokens a seed, itself included.
        num_hops: Steps.
        pool: ``"list"`` or ``"set"``; by default the sampler's own.
        sampler: As of a :class:`~graphattn.TokenLoader` with ``resample=False``.
        seed: Any integer.
        memory: Bytes that a shard may take while it is made, by default what is usable.
        progress: Show a bar, if there is a terminal.

    Returns:
        The extraction, memory-mapped.

    Raises:
        ValueError: A seed is no node, a size is out of its range, or the folder holds something
            else, or rows of another store or draw.
        OSError: The disk is full or cannot be written.

    Example:
        >>> import tempfile
        >>> from graphattn.graph import CSRGraph
        >>> graph = CSRGraph.from_edge_index(torch.tensor([[0], [1]]))
        >>> store, seeds = TokenStore.in_memory(graph, torch.eye(2)), torch.tensor([1])
        >>> extracted = extract_tokens(tempfile.mkdtemp() + "/e", store, seeds, 2)
        >>> extracted.gather(seeds)["rows"].shape
        (1, 2, 3, 2)
    """
    check_least(1, num_samples=num_samples)
    path, nodes = Path(path), torch.unique(seeds.cpu())

    def loader(part: Tensor) -> TokenLoader:
        return TokenLoader(
            store,
            part,
            num_samples=num_samples,
            batch_size=max(1, part.numel()),
            num_hops=num_hops,
            pool=pool,
            resample=False,
            sampler=sampler,
            seed=seed,
        )

    row = store.num_contexts * store.in_channels * store.gather(nodes[:0]).element_size()
    each = num_samples * (row + 17) + 4 * store.pe_channels
    each += (1 + store.num_own_hops) * row
    limit = usable_memory() if memory is None else memory
    wanted = _wanted(loader(nodes))  # refuses seeds that are no nodes
    wanted["seeds"] = digest_arrays(nodes.numpy())
    names = [*_BASIC, *(["own"] if store.num_own_hops else []), *(["pe"] * bool(store.pe_channels))]
    output_folder(path, "the folder of the extracted rows")
    with lock(path.with_name(f".{path.name}.lock")):
        facts = _begun(path, wanted) or wanted | {"files": {}}
        size = facts.setdefault("shard_seeds", max(1, min(65536, limit // (4 * each))))
        parts = torch.split(nodes, size) if nodes.numel() else (nodes,)
        files = [{name: f"{name}-{i:05d}.npy" for name in names} for i in range(len(parts))]
        missing = [
            i
            for i, of in enumerate(files)
            if not all(is_sound(path, facts, n) for n in of.values())
        ]
        check_space(path, sum(parts[i].numel() for i in missing) * each)
        write_json(path / "manifest.json", facts)
        for i in tqdm(missing, "extracted", disable=None if progress else True):
            for name, table in _tables(loader(parts[i]), store, names).items():
                write_array(path / files[i][name], table)
                facts["files"][files[i][name]] = digest_arrays(table)
            write_json(path / "manifest.json", facts)
    shards = [{n: read_array(path / file, mmap=True) for n, file in of.items()} for of in files]
    return ExtractedTokens(nodes.numpy(), shards, facts)


def _tables(
    loader: TokenLoader, store: TokenStore, names: list[str]
) -> dict[str, npt.NDArray[Any]]:
    """Draws a shard; the loader gathers its distinct rows in ascending order."""
    tokens = loader._tokens(loader.seeds, slice(None), 0)
    nodes, ids = distinct(tokens.ids.numpy(), store.num_nodes)
    rows = store.gather(torch.from_numpy(nodes)).numpy()
    found: dict[str, Any] = {"rows": rows[ids], "ids": tokens.ids.numpy()}
    found |= {"mask": tokens.mask.numpy(), "hop": tokens.hop.numpy().astype(np.uint8)}
    for name, table in (("own", store.gather_own), ("pe", store.gather_pe)):
        if name in names:
            found[name] = table(loader.seeds).numpy()  # type: ignore[union-attr]
    return found


def _wanted(loader: TokenLoader) -> dict[str, Any]:
    """All that the bits of an extraction depend on, but the seeds."""
    store, alone = loader.store, independent(loader.sampler)
    plain = getattr(alone, "__qualname__", None)
    parameters = {k: v for k, v in store.manifest["parameters"].items() if k != "shard_rows"}
    identity = json.dumps([parameters, store.manifest["inputs"]], sort_keys=True).encode()
    return {
        "format": _FORMAT,
        "store": digest_arrays(np.frombuffer(identity, np.uint8)),
        "num_nodes": store.num_nodes,
        "num_samples": loader.num_samples,
        "num_hops": loader.num_hops,
        "pool": loader.pool,
        "sampler": repr(alone) if plain is None else f"{alone.__module__}.{plain}",
        "seed": loader.seed,
    }


def _check_same(found: dict[str, Any], wanted: dict[str, Any], what: str) -> None:
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ValueError(
                f"{what} was made otherwise ({key}: {found.get(key)!r}, asked {value!r}): extract "
                "the rows into another folder."
            )


def _begun(path: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Reads what an earlier call has left; none where the folder is empty."""
    if not any(path.iterdir()):
        return None
    if not (path / "manifest.json").is_file():
        raise ValueError(f"{path} must be empty or hold extracted rows: choose another folder.")
    found = read_json(path / "manifest.json")
    size = found.get("shard_seeds")
    if not isinstance(found.get("files"), dict) or not (isinstance(size, int) and size > 0):
        raise CorruptFile(f"{path / 'manifest.json'} is damaged: delete {path} to extract anew.")
    _check_same(found, wanted, f"what {path} holds")
    return found
