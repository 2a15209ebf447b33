"""A run in one YAML file: its sections as frozen dataclasses.

Imports neither torch nor PyG, so that a config is quick to read and check.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from graphattn.keys import check_keys, check_texts, flat_keys, numbers, section
from graphattn.training.options import FitOptions, LabelOptions, TokenOptions

_TEXTS = ("data.name", "model.name", "tokens.pe", "tokens.sampler", "device")
_TEXTS_OR_NONE = ("data.root", "data.metric", "tokens.store", "out")
SECTIONS = ("data", "model", "tokens", "train")  # of a YAML file, in the order of its help
BATCHING = ("batch_size", "eval_batch_size", "num_workers")  # of TokenOptions, but under train
LABELS = ("label_inputs", "correct_and_smooth")  # of LabelOptions, under train too
# What may differ between a run and its continuation without changing a weight of it.
_FREE = (
    *("out", "device", "seeds", "splits", "data.root", "tokens.store", "tokens.extract"),
    *("train.num_workers", "train.eval_batch_size"),
    *("train.save_every", "train.save_steps", "train.save_seconds"),
    "train.correct_and_smooth",  # it comes after the weights
)
# Options that came later; at their defaults they are left out, as in runs from before.
_LATER = ("train.label_inputs", "tokens.adjacency", "tokens.hyperedges", "tokens.members")


@dataclass(frozen=True)
class DataOptions:
    """Which data, and what is done to it before anything else.

    Args:
        name: A built-in name (`graphattn data list`), a `.npz` in `root`, the path of a `.npz`, or
            the import path of a function that returns PyG data.
        root: Folder of `.npz` data sets and of raw files; by default that of GRAPHATTN_DATA.
        options: Keyword arguments of the data set's function.
        features: "standardize" (each column to mean 0 and deviation 1), "row" (rows sum to 1),
            "none", or "auto": "standardize" where a value exceeds 10 in size, else "none".
        nan: What becomes of NaN and infinite features: an error, zero, the column's mean, or the
            node is dropped.
        undirected: Add the reverse of every edge.
        metric: "accuracy", "rocauc", "macro_f1", "spearman" or an ogbn- name; by default the data
            set's own.
        clique: Of a hypergraph, make a graph: join all members of each hyperedge of at most this
            many nodes; larger ones are refused.

    Example:
        >>> DataOptions("digits").features
        'auto'
    """

    name: str
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    features: Literal["auto", "none", "standardize", "row"] = "auto"
    nan: Literal["error", "zero", "mean", "drop"] = "error"
    undirected: bool = False
    metric: str | None = None
    clique: int | None = None

    @property
    def title(self) -> str:
        """The name, or of a file or function its last part."""
        if "/" in self.name or self.name.endswith(".npz"):
            return Path(self.name).stem
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class StoreOptions:
    """What is kept for every node, beside its features after `num_hops` hops, and who draws tokens.

    Args:
        num_own_hops: Hops of propagation a seed reads of itself; 0 for none.
        direction: "in", or "both": also hops and tokens along reversed edges.
        norm: Propagation: "sym" (both degrees) or "row" (mean).
        dtype: What features and hops are kept as: "float32", or "float16" for half the memory.
        pe: Positions: "none", "random_walk", "spectral", or the path of an
            `.npy` of shape `[nodes, channels]`.
        pe_channels: Channels of computed positions.
        store: Folder of the store, built if need be; by default it is held in memory.
        sampler: "bottom_k" (fastest), "neighborhood" (the paper's exact draw), "walk" (biased), or
            the import path of a function of `sample_neighborhood`'s form.
        share: For bottom_k: seeds of a training batch that are drawn for at once, so that they
            share many tokens; 1 draws for each alone, null for the whole batch at once.
        extract: Lay the rows that the labelled nodes read side by side in `<store>-rows`, once,
            with `tokens.resample false`: for stores larger than memory with few labels.

    Raises:
        ValueError: The positions have none of these names, another sampler cannot share, or rows
            are to be extracted without a store.

    Example:
        >>> StoreOptions(num_own_hops=16).norm
        'sym'
    """

    num_own_hops: int = 0
    direction: Literal["in", "both"] = "in"
    norm: Literal["sym", "row"] = "sym"
    dtype: Literal["float32", "float16"] = "float32"
    pe: str = "none"
    pe_channels: int = 16
    store: str | None = None
    sampler: str = "bottom_k"
    share: int | None = None
    extract: bool = False

    def __post_init__(self) -> None:
        """Refuse positions that nobody computes."""
        if self.pe not in ("none", "random_walk", "spectral") and not self.pe.endswith(".npy"):
            raise ValueError(
                "tokens.pe must be none, random_walk, spectral or the path of a .npy file: "
                f"got {self.pe!r}."
            )
        if self.pe_channels < 1:
            raise ValueError(f"tokens.pe_channels must be at least 1: got {self.pe_channels}.")
        if self.share is not None and (self.share < 1 or self.sampler != "bottom_k"):
            raise ValueError(
                "tokens.share must be at least 1, with tokens.sampler bottom_k: "
                f"got {self.share} with {self.sampler}."
            )
        if self.extract and self.store is None:
            raise ValueError("tokens.extract needs tokens.store, the folder of a store: got none.")


@dataclass(frozen=True)
class RunConfig:
    """One experiment: a model on a data set, for some splits and seeds.

    Args:
        data: Which data.
        model: A name of `MODELS` or an import path.
        model_options: Keyword arguments of the model; what follows from the data is filled in.
        store: What is kept for every node (token models).
        tokens: What is drawn for each seed, in which batches (token models).
        train: How the model is fitted.
        labels: What training labels are used for, beside the loss.
        seeds: "0", "0-9", "0,3" or a list; each gives one run a split.
        splits: The same, or "all".
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...
        out: Run folder; by default runs/<data>-<model>.

    Raises:
        ValueError: Seeds or splits are no list of numbers.

    Example:
        >>> RunConfig(DataOptions("digits"), seeds="0-2").seed_list
        [0, 1, 2]
    """

    data: DataOptions
    model: str = "largegt"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    store: StoreOptions = field(default_factory=StoreOptions)
    tokens: TokenOptions = field(default_factory=TokenOptions)
    train: FitOptions = field(default_factory=FitOptions)
    labels: LabelOptions = field(default_factory=LabelOptions)
    seeds: str | int | list[int] = "0"
    splits: str | int | list[int] = "0"
    device: str = "auto"
    out: str | None = None

    def __post_init__(self) -> None:
        """Refuse what names no numbers, before any work."""
        numbers(self.seeds, "seeds")
        if self.splits != "all":
            numbers(self.splits, "splits")

    @property
    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        return numbers(self.seeds, "seeds")

    def split_list(self, count: int) -> list[int]:
        """Return the splits, in order, of a data set that has `count` of them.

        Raises:
            ValueError: The data set has no such split.
        """
        chosen = list(range(count)) if self.splits == "all" else numbers(self.splits, "splits")
        beyond = [split for split in chosen if split >= count]
        if beyond:
            raise ValueError(
                f"splits must lie in 0..{count - 1} for {self.data.name}: got {beyond[0]}; "
                "or ask for all."
            )
        return chosen

    @property
    def folder(self) -> Path:
        """The run folder: `out`, or runs/<data>-<model>."""
        return Path(self.out or f"runs/{self.data.title}-{self.model.split('.')[-1]}".lower())

    def anywhere(self) -> "RunConfig":
        """Return the config with whole paths for what it reads, the same from any folder."""

        def whole(path: str | None, *, is_path: bool = True) -> str | None:
            return str(Path(path).resolve()) if path and is_path else path

        data, store = self.data, self.store
        name = whole(data.name, is_path=data.name.endswith(".npz")) or data.name
        pe = whole(store.pe, is_path=store.pe.endswith(".npy")) or store.pe
        return dataclasses.replace(
            self,
            data=dataclasses.replace(data, name=name, root=whole(data.root)),
            store=dataclasses.replace(store, pe=pe, store=whole(store.store)),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the nested plain values that a YAML file holds; `from_mapping` undoes it."""
        tokens, fitting = dataclasses.asdict(self.tokens), dataclasses.asdict(self.train)
        fitting.pop("seed")
        batching = {key: tokens.pop(key) for key in BATCHING}
        return {
            "data": dataclasses.asdict(self.data),
            "tokens": {**tokens, **dataclasses.asdict(self.store)},
            "model": {"name": self.model, **self.model_options},
            "train": {**fitting, **batching, **dataclasses.asdict(self.labels)},
            "seeds": self.seeds,
            "splits": self.splits,
            "device": self.device,
            "out": self.out,
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "RunConfig":
        """Make a config of a YAML file's nested values.

        Raises:
            ValueError: A key is unknown (the nearest is named), or a value is out of range.

        Example:
            >>> RunConfig.from_mapping({"data": {"name": "digits"}, "train": {"lrr": 1}})
            Traceback (most recent call last):
            ...
            ValueError: unknown key train.lrr: did you mean train.lr?
        """
        sections = {key: section(mapping, key) for key in SECTIONS}
        check_texts(mapping, _TEXTS, _TEXTS_OR_NONE)
        check_keys(flat_keys(mapping), known_keys(), free=("model.", "data.options."))
        tokens, fitting = sections["tokens"], sections["train"]
        fitting.pop("seed", None)
        tokens.update({key: fitting.pop(key) for key in BATCHING if key in fitting})
        labels = {key: fitting.pop(key) for key in LABELS if key in fitting}
        model = sections["model"]
        if not sections["data"].get("name"):
            raise ValueError(
                "data.name must be given: got none; for instance --data.name digits "
                "(`graphattn data list` lists more)."
            )
        kept = [f.name for f in dataclasses.fields(StoreOptions)]
        rest = {key: mapping[key] for key in ("seeds", "splits", "device", "out") if key in mapping}
        return cls(
            data=DataOptions(**sections["data"]),
            store=StoreOptions(**{key: tokens.pop(key) for key in kept if key in tokens}),
            tokens=TokenOptions(**tokens),
            train=FitOptions(**fitting),
            labels=LabelOptions(**labels),
            model=model.pop("name", "largegt"),
            model_options=model,
            **rest,
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return the part of the mapping that decides the weights of a run."""
        mapping = self.to_mapping()
        unset = {key for key in (*_LATER, "data.clique") if not _at(mapping, key)}
        for key in {*_FREE, *unset} - ({"train.eval_batch_size"} if self.tokens.members else set()):
            of, _, name = key.rpartition(".")
            (mapping[of] if of else mapping).pop(name)
        # Where a file lies decides nothing: what it holds is hashed beside this.
        for of, name, ending in (("data", "name", ".npz"), ("tokens", "pe", ".npy")):
            if mapping[of][name].endswith(ending):
                mapping[of][name] = Path(mapping[of][name]).name
        return mapping

    def write(self, path: Path) -> None:
        """Write the config as YAML; reading it back gives the same run."""
        path.write_text(yaml.safe_dump(self.to_mapping(), sort_keys=False), encoding="utf-8")


def _at(mapping: Mapping[str, Any], key: str) -> Any:
    of, _, name = key.rpartition(".")
    return mapping[of][name]


def known_keys() -> list[str]:
    """Return every dotted key of a YAML file, but for the options of the model.

    Example:
        >>> "train.lr" in known_keys()
        True
    """
    return flat_keys(RunConfig(DataOptions("")).to_mapping())
