"""Tables of tokens that were drawn once, and that a loader reads instead of drawing."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int64
from torch import Tensor

from graphattn.corrupt import CorruptFile
from graphattn.files import digest_arrays, read_array, read_json
from graphattn.graph import CSRGraph
from graphattn.ops.neighborhood import Direction, Neighborhood, Pool

FORMAT = 1
_KEYS = ("ids", "mask", "hop")

Shard = tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[np.uint8]]


class DrawnTokens:
    """The tokens of some seeds, drawn once; called as a sampler, it looks them up.

    Make one with :func:`draw_tokens` or :meth:`open`, and give it to a
    :class:`~graphattn.TokenLoader` as its sampler, with ``resample=False`` and the options that
    they were drawn with.

    Args:
        seeds: int64, ascending.
        shards: Tables of ids, mask and hops, each with as many rows as the first but the last.
        manifest: What they were drawn from, by which options.

    Example:
        >>> ids, mask = np.array([[4, 7]]), np.array([[True, True]])
        >>> drawn = DrawnTokens(np.array([4]), [(ids, mask, np.uint8([[0, 1]]))], {})
        >>> drawn.gather(torch.tensor([4, 4])).ids.tolist()
        [[4, 7], [4, 7]]
    """

    def __init__(
        self, seeds: npt.NDArray[np.int64], shards: list[Shard], manifest: dict[str, Any]
    ) -> None:
        self.seeds, self.manifest, self._shards = seeds, manifest, shards
        self._rows = max(1, shards[0][0].shape[0])

    @classmethod
    def open(cls, path: Path | str) -> "DrawnTokens":
        """Opens a folder that :func:`draw_tokens` made, and checks all of it.

        Args:
            path: The folder.

        Returns:
            The tokens, memory-mapped.

        Raises:
            ValueError: There are none, or not all of them are drawn.
            CorruptFile: A file is missing or damaged; the message names it.

        Example:
            >>> DrawnTokens.open("nowhere")
            Traceback (most recent call last):
            ...
            ValueError: there are no drawn tokens in nowhere: draw them with draw_tokens.
        """
        path = Path(path)
        if not (path / "manifest.json").is_file():
            raise ValueError(f"there are no drawn tokens in {path}: draw them with draw_tokens.")
        manifest = read_json(path / "manifest.json")
        if manifest.get("format") != FORMAT or not isinstance(manifest.get("files"), dict):
            raise CorruptFile(f"{path / 'manifest.json'} is none of drawn tokens: draw them again.")
        seeds = read_array(path / "seeds.npy", mmap=True)
        if digest_arrays(seeds) != manifest.get("seeds"):
            raise CorruptFile(f"{path / 'seeds.npy'} is damaged: draw the tokens again.")
        rows = manifest.get("block_rows")
        if type(rows) is not int or rows < 1:
            raise CorruptFile(f"{path / 'manifest.json'} has no block_rows: draw the tokens again.")
        shards: list[Shard] = []
        for name in shard_endings(seeds.size, rows):
            if name not in manifest["files"]:
                raise ValueError(
                    f"the tokens in {path} are not all drawn: draw_tokens with the same arguments "
                    "goes on where it stopped."
                )
            shard = sound_shard(path, name, manifest["files"])
            if shard is None:
                raise CorruptFile(
                    f"one of ids-, mask- and hop-{name} in {path} is missing or damaged: "
                    "draw_tokens with the same arguments draws it again."
                )
            shards.append(shard)
        return cls(seeds, shards, manifest)

    def gather(self, seeds: Int64[Tensor, " rows"]) -> Neighborhood:
        """Looks up the tokens of some seeds.

        Args:
            seeds: Of those that were drawn for; may repeat.

        Returns:
            As a sampler does.

        Raises:
            ValueError: Nothing was drawn for a seed; the first five are named.
        """
        wanted = seeds.cpu().numpy()
        rows = np.minimum(np.searchsorted(self.seeds, wanted), max(0, self.seeds.size - 1))
        known = self.seeds[rows] == wanted if self.seeds.size else np.zeros(wanted.shape, bool)
        if not known.all():
            raise ValueError(
                f"tokens were drawn for {self.seeds.size} seeds: got {wanted[~known][:5].tolist()} "
                f"({int((~known).sum())} such seeds), which are none of them."
            )
        columns = self._shards[0][0].shape[1]
        ids = np.empty((rows.size, columns), np.int64)
        mask, hop = np.empty(ids.shape, np.bool_), np.empty(ids.shape, np.int64)
        for number in np.unique(rows // self._rows):
            here = rows // self._rows == number
            for out, table in zip((ids, mask, hop), self._shards[number], strict=True):
                out[here] = table[rows[here] - number * self._rows]
        return Neighborhood(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(hop))

    def __call__(
        self,
        graph: CSRGraph,
        seeds: Int64[Tensor, " seeds"],
        num_samples: int,
        *,
        num_hops: int = 2,
        pool: Pool | None = None,
        direction: Direction = "in",
        seed: int = 0,
        epoch: int = 0,
    ) -> Neighborhood:
        """Looks up the tokens of some seeds, as a sampler draws them.

        Args:
            graph: That they were drawn from.
            seeds: Of those that were drawn for; may repeat.
            num_samples: As they were drawn with, like the options.
            num_hops: Steps.
            pool: ``"list"``, ``"set"``, or the sampler's own.
            direction: Along which edges.
            seed: Any integer.
            epoch: Another epoch is another draw.

        Returns:
            The tokens.

        Raises:
            ValueError: They were drawn with another option or from another graph, or not at all.
        """
        options = {"num_hops": num_hops, "direction": direction, "seed": int(seed), "epoch": epoch}
        asked: dict[str, Any] = {"num_samples": num_samples, "pool": pool, **options}
        asked["graph"] = graph.digest()
        for key, value in asked.items():
            if self.manifest.get(key) != value:
                raise ValueError(
                    f"tokens must be asked for as they were drawn: got {key}={value!r}, drawn with "
                    f"{self.manifest.get(key)!r}; draw them anew, or draw them in each epoch."
                )
        return self.gather(seeds)


def sound_shard(path: Path, name: str, files: dict[str, str]) -> Shard | None:
    """Maps the three tables of a block, where their hash is the one that is known.

    Args:
        path: The folder.
        name: Ending of the files.
        files: The hashes, by ending.

    Returns:
        Ids, mask and hops; none where a file is missing or damaged.

    Example:
        >>> sound_shard(Path("nowhere"), "00000.npy", {}) is None
        True
    """
    try:
        ids, mask, hop = (read_array(path / f"{key}-{name}", mmap=True) for key in _KEYS)
    except ValueError:
        return None
    return (ids, mask, hop) if digest_arrays(ids, mask, hop) == files[name] else None


def shard_endings(count: int, block_rows: int) -> list[str]:
    """Names the endings of the files: one block even where there are no seeds.

    Args:
        count: Number of seeds.
        block_rows: Seeds of a file.

    Returns:
        One ending a block.

    Example:
        >>> shard_endings(5, 3)
        ['00000.npy', '00001.npy']
    """
    return [f"{number:05d}.npy" for number in range(max(1, -(-count // block_rows)))]
