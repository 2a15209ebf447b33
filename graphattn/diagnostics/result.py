"""What a measurement of influence found, with its error bars, and how it is written to a file."""

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphattn.files import write_json

_Floats = npt.NDArray[np.float64]
_Z = 1.959963984540054  # the normal's 97.5 % quantile

_UNITS = {"weight": "units of edge_weight", "euclid": "units of pos", "resistance": "ohms"}

SCHEMA = "graphattn.influence/1"


@dataclass(frozen=True, eq=False)
class InfluenceResult:
    """Influence by hop of each seed; every mean leaves out the seeds whose Jacobian is zero.

    Args:
        T: ``[seeds, hops + 1]``, the influence of all nodes at each exact hop, in the units of the
            output by those of a feature.
        seeds: ``[seeds]``, node ids.
        tail_mass: ``[seeds]``, the influence of all nodes beyond the last hop, reached or not; NaN
            where it was not measured (``semantics="pyg"``).
        R_per_node: ``[seeds]``, the mean distance of the influence within ``max_hops``, in hops or
            the unit of ``distance``; 0 where there is no influence, and then left out.
        about: How it was measured: engine, channels, dtype, seed and the like.

    Example:
        >>> T = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
        >>> found = InfluenceResult(
        ...     T, np.arange(3), np.zeros(3), np.array([0.25, 0.5, 0.0]), {}
        ... )
        >>> found.R, found.num_zero, found.curve.tolist()
        (0.375, 1, [2.0, 1.0])
    """

    T: _Floats
    seeds: npt.NDArray[np.int64]
    tail_mass: _Floats
    R_per_node: _Floats
    about: dict[str, Any]

    def __str__(self) -> str:
        """R with its interval, and the mean share of each hop, in two lines.

        Example:
            >>> T = np.array([[3.0, 1.0], [1.0, 1.0]])
            >>> print(InfluenceResult(T, np.arange(2), np.zeros(2), np.array([0.25, 0.5]), {}))
            R = 0.375 (95 %: 0.130 to 0.620) over 2 seeds, 0 without influence left out
            hop 0: 62.5 %, 1: 37.5 %; beyond: 0.0 %
        """
        if not self.counted.any():
            return f"R is not defined: none of {self.seeds.size} seeds has influence within reach"
        low, high = self.R_ci
        hops = ", ".join(f"{h}: {100 * share:.1f} %" for h, share in enumerate(self.shares.mean(0)))
        tail, unit = self.tail_share, "" if self.unit == "hops" else f" {self.unit}"
        beyond = "not measured" if math.isnan(tail) else f"{100 * tail:.1f} %"
        return (
            f"R = {self.R:.3f}{unit} (95 %: {low:.3f} to {high:.3f}) over "
            f"{int(self.counted.sum())} seeds, {self.num_zero} without influence left out\n"
            f"hop {hops}; beyond: {beyond}"
        )

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Which seeds enter the means: those with any influence within ``max_hops``."""
        return np.asarray(self.T.sum(1) > 0)

    @property
    def num_zero(self) -> int:
        """Seeds left out, because no feature within ``max_hops`` moves their output."""
        return int((~self.counted).sum())

    @property
    def curve(self) -> _Floats:
        """Mean influence at each hop, ``[hops + 1]``; 0 if no seed is counted."""
        return self.T[self.counted].sum(0) / max(int(self.counted.sum()), 1)

    @property
    def curve_ci(self) -> _Floats:
        """The 95 % interval of :attr:`curve` over seeds, ``[2, hops + 1]``; NaN below two seeds."""
        half = half_width(self.T[self.counted])
        return np.stack([self.curve - half, self.curve + half])

    @property
    def R(self) -> float:  # noqa: N802 - the name of the paper
        """Mean over seeds of the mean distance of their influence; 0 if no seed is counted."""
        return float(self.R_per_node[self.counted].sum()) / max(int(self.counted.sum()), 1)

    @property
    def unit(self) -> str:
        """The unit of R, as ``about`` has it."""
        distance = str(self.about.get("distance", "hops"))
        return str(self.about.get("unit") or _UNITS.get(distance, distance))

    @property
    def R_ci(self) -> tuple[float, float]:  # noqa: N802
        """The 95 % interval of :attr:`R` over seeds; NaN below two seeds."""
        half = float(half_width(self.R_per_node[self.counted]))
        return self.R - half, self.R + half

    @property
    def tail_share(self) -> float:
        """Share of all influence that lies beyond the last hop, mean over seeds.

        NaN if it was not measured. Over the counted seeds; if there is none, over those with any
        influence beyond.
        """
        total = self.T.sum(1) + self.tail_mass
        keep = self.counted if self.counted.any() else total != 0
        return float((self.tail_mass[keep] / total[keep]).mean()) if keep.any() else 0.0

    @property
    def shares(self) -> _Floats:
        """Of all influence on each counted seed, the share of each hop, ``[counted, hops + 1]``.

        Where the mass beyond the last hop was not measured, of the influence up to there.
        """
        keep = self.counted
        total = self.T[keep].sum(1) + np.nan_to_num(self.tail_mass[keep])
        return self.T[keep] / total[:, None]

    def hop_within(self, share: float) -> int | None:
        """Finds the nearest hop within which a share of a seed's influence lies, mean over seeds.

        Args:
            share: In (0, 1]: 0.5 for the h50, 0.9 for the h90 of a model.

        Returns:
            The hop, or None where it lies beyond the last.

        Example:
            >>> T = np.array([[3.0, 1.0]])
            >>> found = InfluenceResult(T, np.arange(1), np.ones(1), np.ones(1), {})
            >>> found.hop_within(0.5), found.hop_within(0.8), found.hop_within(0.9)
            (0, 1, None)
        """
        within = np.cumsum(self.shares, axis=1)
        reached = np.flatnonzero(within.sum(0) >= (share - 1e-12) * max(len(within), 1))
        return int(reached[0]) if reached.size else None

    def report(
        self,
        path: Path | str,
        *,
        y: Any = None,
        predicted: Any = None,
        pos: Any = None,
        energy: Any = None,
        structure: Any = None,
        title: str | None = None,
        command: str = "",
    ) -> Path:
        """Draws the result on one HTML page that needs no network.

        Args:
            path: Ends in ``.html``.
            y: ``[nodes]``, classes of all nodes of the graph, below 0 where unknown.
            predicted: ``[nodes]``, what the model predicts, below 0 where unknown.
            pos: ``[nodes, 2]``, where the nodes are, in a plane.
            energy: What :func:`~graphattn.diagnostics.smoothing.layer_energy` found of the model.
            structure: What :func:`~graphattn.diagnostics.structure.structural_influence` found for
                the same seeds and hops.
            title: Heading of the page; by default the model and the data, where ``about`` has them.
            command: What makes the page again.

        Returns:
            The path.

        Raises:
            ValueError: The ending is another, or an input has not a row for each node.
            ImportError: matplotlib is missing.
            OSError: The file cannot be written.

        Example:
            >>> import tempfile
            >>> found = InfluenceResult(np.ones((1, 2)), np.arange(1), np.zeros(1), np.ones(1), {})
            >>> found.report(Path(tempfile.mkdtemp()) / "a.html", y=[0]).name
            'a.html'
        """
        from graphattn.diagnostics.report import write_report  # it draws with an optional package

        nodes = {"y": y, "predicted": predicted, "pos": pos}
        more = {"energy": energy, "structure": structure}
        return write_report(Path(path), self, nodes=nodes, title=title, command=command, **more)

    def save(self, path: Path | str) -> None:
        """Writes the result, all of it or nothing.

        Args:
            path: Ends in ``.json`` (summary and seeds), ``.csv`` (a row a seed and hop; the tail is
                hop ``tail``) or ``.npz`` (the arrays). The first and the last are read by
                :func:`~graphattn.diagnostics.read_influence`.

        Raises:
            ValueError: The ending is another.
            OSError: The file cannot be written.

        Example:
            >>> import tempfile
            >>> zero = np.zeros(1)
            >>> found = InfluenceResult(np.ones((1, 2)), np.arange(1), zero, zero + 0.5, {})
            >>> found.save(Path(tempfile.mkdtemp()) / "a.csv")
        """
        path = Path(path)
        if path.suffix not in (".json", ".csv", ".npz"):
            raise ValueError(f"path must end in .json, .csv or .npz: got {path.name!r}.")
        if path.suffix == ".json":
            write_json(path, self._summary())
            return
        partial = path.with_name(f"{path.name}.part")
        content = self._table().encode() if path.suffix == ".csv" else self._arrays()
        partial.write_bytes(content)
        partial.replace(path)

    def _summary(self) -> dict[str, Any]:
        low, high = self.R_ci
        summary = {
            "schema": SCHEMA,
            "R": self.R,
            "R_ci": [low, high],
            "curve": self.curve.tolist(),
            "curve_ci": self.curve_ci.tolist(),
            "tail_share": self.tail_share,
            "num_seeds": int(self.seeds.size),
            "num_zero": self.num_zero,
            "seeds": self.seeds.tolist(),
            "T": self.T.tolist(),
            "tail_mass": self.tail_mass.tolist(),
            "R_per_node": self.R_per_node.tolist(),
            "about": self.about,
        }
        return {name: _without_nan(value) for name, value in summary.items()}

    def _table(self) -> str:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["seed", "hop", "influence"])
        for seed, row, tail in zip(self.seeds.tolist(), self.T, self.tail_mass, strict=True):
            table.writerows([seed, hop, repr(float(value))] for hop, value in enumerate(row))
            table.writerow([seed, "tail", repr(float(tail))])
        return text.getvalue()

    def _arrays(self) -> bytes:
        memory = io.BytesIO()
        arrays: dict[str, Any] = {"T": self.T, "seeds": self.seeds, "tail_mass": self.tail_mass}
        arrays |= {"R_per_node": self.R_per_node, "curve_ci": self.curve_ci}
        arrays["about"] = np.array(json.dumps({"schema": SCHEMA, **_without_nan(self.about)}))
        np.savez(memory, allow_pickle=False, **arrays)
        return memory.getvalue()


def half_width(values: _Floats) -> _Floats:
    """Half the width of the 95 % interval of a mean over seeds, by the normal distribution.

    Args:
        values: ``[seeds, ...]``.

    Returns:
        ``[...]``; NaN below two seeds.

    Example:
        >>> half_width(np.array([1.0, 3.0])).round(2)
        np.float64(1.96)
    """
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(_Z * values.std(0, ddof=1) / math.sqrt(len(values)))


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
