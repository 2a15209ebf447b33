"""The manifest of a token store on disk: what it must say, and whether the shards agree with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphattn.corrupt import CorruptFile
from graphattn.files import digest_arrays, read_array, read_json
from graphattn.graph import CSRGraph
from graphattn.sampling.recipe import Recipe

FORMAT = 1


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads and checks the manifest of a store.

    Args:
        path: The store's folder.

    Returns:
        ``format``, ``parameters``, ``inputs``, ``shapes`` and ``files``, all of sound types.

    Raises:
        ValueError: There is no store, or it is of another format.
        CorruptFile: Its manifest makes no sense.

    Example:
        >>> read_manifest(Path("nowhere"))
        Traceback (most recent call last):
        ...
        ValueError: there is no token store in nowhere: build one with TokenStore.build...
    """
    if not (path / "manifest.json").is_file():
        raise ValueError(
            f"there is no token store in {path}: build one with TokenStore.build "
            "or `graphattn tokenize` (an unfinished build goes on where it stopped)."
        )
    manifest = read_json(path / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path / 'manifest.json'} must be of format {FORMAT}: "
            f"got {manifest.get('format')!r}; build the store again."
        )
    parts = [manifest.get(name) for name in ("parameters", "inputs", "shapes", "files")]
    sound = all(isinstance(part, dict) for part in parts)
    if sound:
        parameters, _, shapes, files = (dict(part) for part in parts if part is not None)
        shard_rows = parameters.pop("shard_rows", None)
        sound = type(shard_rows) is int and shard_rows >= 1 and "features" in shapes
        sound = sound and set(shapes) <= {"features", "own", "pe"} and _fits(parameters, shapes)
        # Counted before they are named: a damaged number of rows must not name 10**30 files.
        sound = sound and len(files) == sum(-(-shape[0] // shard_rows) for shape in shapes.values())
        sound = sound and set(files) == set(shard_names(manifest))
    if not sound:
        raise CorruptFile(
            f"{path / 'manifest.json'} is damaged: its entries do not fit together; "
            "build the store again."
        )
    return manifest


def shard_names(manifest: dict[str, Any]) -> list[str]:
    """Lists the shard files of a store; names are never taken from a manifest.

    Args:
        manifest: Has ``shapes`` and ``parameters`` with ``shard_rows``.

    Returns:
        File names, table after table.

    Example:
        >>> shard_names({"shapes": {"pe": [5, 2]}, "parameters": {"shard_rows": 4}})
        ['pe-00000.npy', 'pe-00001.npy']
    """
    rows = manifest["parameters"]["shard_rows"]
    return [
        f"{table}-{i:05d}.npy"
        for table, shape in manifest["shapes"].items()
        for i in range(-(-shape[0] // rows))
    ]


def differences(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Says in what a store is not the one that is wanted.

    Args:
        made: Manifest of the store, or as much of it as has ``parameters`` and ``inputs``.
        wanted: The same of what is asked for.

    Returns:
        One phrase a difference; empty where there is none.

    Example:
        >>> inputs = {"graph": "1f", "x": "2e"}
        >>> made = {"parameters": {"num_hops": 2}, "inputs": inputs}
        >>> differences(made, {"parameters": {"num_hops": 1}, "inputs": inputs | {"x": "3d"}})
        ['num_hops: the store has 2, asked 1', 'features: the store has others']
    """
    found = []
    for key, value in wanted["parameters"].items():
        has = made["parameters"].get(key)
        if has != value:
            found.append(f"{key}: the store has {has}, asked {value}")
    for key, word in (("graph", "graph"), ("x", "features"), ("pe", "positions")):
        has, asked = made["inputs"].get(key), wanted["inputs"].get(key)
        if has != asked:
            kind = "none" if has is None else "some, asked none" if asked is None else "others"
            found.append(f"{word}: the store has {'another' if key == 'graph' else kind}")
    return found


def check_shards(path: Path, manifest: dict[str, Any]) -> None:
    """Reads every shard and compares its hash with the manifest's.

    Args:
        path: The store's folder.
        manifest: As :func:`read_manifest` returns it.

    Raises:
        CorruptFile: A shard is damaged; the message names it.

    Example:
        >>> check_shards(Path("."), {"shapes": {}, "parameters": {"shard_rows": 1}})
    """
    for name in shard_names(manifest):
        if not is_sound(path, manifest, name):
            raise CorruptFile(f"shard {path / name} is damaged: its hash is not the manifest's.")


def damaged_files(path: Path) -> list[str]:
    """Reads a whole store, and lists what of it is damaged, cut or missing.

    Args:
        path: The store's folder.

    Returns:
        Names of shards, and ``"graph"``; ``["manifest.json"]`` alone where that makes no sense,
        for then nothing says what the others should hold.

    Raises:
        ValueError: There is no store, or it is of another format.

    Example:
        >>> damaged_files(Path("nowhere"))
        Traceback (most recent call last):
        ...
        ValueError: there is no token store in nowhere: build one with TokenStore.build...
    """
    try:
        manifest = read_manifest(path)
    except CorruptFile:
        return ["manifest.json"]
    found = [name for name in shard_names(manifest) if not is_sound(path, manifest, name)]
    try:
        sound = CSRGraph.load(path / "graph").digest() == manifest["inputs"].get("graph")
    except ValueError:
        sound = False
    return found if sound else [*found, "graph"]


def is_sound(folder: Path, manifest: dict[str, Any], name: str) -> bool:
    """Says whether a file is there and has the hash that a manifest or journal gives it.

    Args:
        folder: Where the file is.
        manifest: Has the hashes under ``files``.
        name: Path of the file within the folder.

    Returns:
        Whether it may be used.

    Example:
        >>> is_sound(Path("nowhere"), {"files": {}}, "pe-00000.npy")
        False
    """
    try:
        return digest_arrays(read_array(folder / name, mmap=True)) == manifest["files"].get(name)
    except ValueError:
        return False


def _fits(parameters: dict[str, Any], shapes: dict[str, Any]) -> bool:
    """Whether parameters and shapes of a manifest are ones that a build can have written."""
    for shape in shapes.values():
        if not (isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)):
            return False
    try:
        recipe = Recipe(**parameters)
        features, own = shapes["features"], shapes.get("own")
        rows, _, channels = features
        return (
            features == [rows, recipe.num_contexts, channels]
            and own == ([rows, 1 + recipe.num_own_hops, channels] if recipe.num_own_hops else None)
            and ("pe" not in shapes or (len(shapes["pe"]) == 2 and shapes["pe"][0] == rows))
        )
    except (TypeError, ValueError):
        return False
