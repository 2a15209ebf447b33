"""What a measurement of influence found, with its error bars, and how it is written to a file."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphattn.files import write_json

_Floats = npt.NDArray[np.float64]
_Z = 1.959963984540054  # the normal's 97.5 % quantile

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
            the unit of ``distance``; NaN where there is no influence.
        about: How it was measured: engine, channels, dtype, seed and the like.

    Example:
        >>> T = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
        >>> found = InfluenceResult(
        ...     T, np.arange(3), np.zeros(3), np.array([0.25, 0.5, np.nan]), {}
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
        """R with its interval, and the share of each hop, in two lines.

        Example:
            >>> T = np.array([[3.0, 1.0], [1.0, 1.0]])
            >>> print(InfluenceResult(T, np.arange(2), np.zeros(2), np.array([0.25, 0.5]), {}))
            R = 0.375 (95 %: 0.130 to 0.620) over 2 seeds, 0 without influence left out
            hop 0: 66.7 %, 1: 33.3 %; beyond: 0.0 %
        """
        low, high = self.R_ci
        tail = float(self.tail_mass[self.counted].mean()) if self.counted.any() else math.nan
        whole = (self.curve.sum() + (0.0 if math.isnan(tail) else tail)) / 100
        shares = self.curve / whole
        hops = ", ".join(f"{hop}: {share:.1f} %" for hop, share in enumerate(shares))
        beyond = "not measured" if math.isnan(tail) else f"{tail / whole:.1f} %"
        return (
            f"R = {self.R:.3f} (95 %: {low:.3f} to {high:.3f}) over {int(self.counted.sum())} "
            f"seeds, {self.num_zero} without influence left out\nhop {hops}; beyond: {beyond}"
        )

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Which seeds enter the means: those with any influence within ``max_hops``."""
        return np.isfinite(self.R_per_node)

    @property
    def num_zero(self) -> int:
        """Seeds left out, because no feature within ``max_hops`` moves their output."""
        return int((~self.counted).sum())

    @property
    def curve(self) -> _Floats:
        """Mean influence at each hop, ``[hops + 1]``; NaN if no seed is counted."""
        rows = self.T[self.counted]
        return rows.mean(0) if len(rows) else np.full(self.T.shape[1], np.nan)

    @property
    def curve_ci(self) -> _Floats:
        """The 95 % interval of :attr:`curve` over seeds, ``[2, hops + 1]``; NaN below two seeds."""
        half = _half_width(self.T[self.counted])
        return np.stack([self.curve - half, self.curve + half])

    @property
    def R(self) -> float:  # noqa: N802 - the name of the paper
        """Mean over seeds of the mean distance of their influence."""
        values = self.R_per_node[self.counted]
        return float(values.mean()) if values.size else math.nan

    @property
    def R_ci(self) -> tuple[float, float]:  # noqa: N802
        """The 95 % interval of :attr:`R` over seeds; NaN below two seeds."""
        half = float(_half_width(self.R_per_node[self.counted]))
        return self.R - half, self.R + half

    @property
    def tail_share(self) -> float:
        """Share of all influence that lies beyond the last hop, mean over seeds."""
        total = self.T.sum(1) + self.tail_mass
        keep = self.counted
        return float((self.tail_mass[keep] / total[keep]).mean()) if keep.any() else math.nan

    def save(self, path: Path | str) -> None:
        """Writes the result, all of it or nothing.

        Args:
            path: Ends in ``.json`` (summary and seeds), ``.csv`` (a row a seed and hop; the tail is
                hop ``tail``) or ``.npz`` (the arrays).

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
        np.savez(memory, allow_pickle=False, **arrays)
        return memory.getvalue()


def _half_width(values: _Floats) -> _Floats:
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    return _Z * values.std(0, ddof=1) / math.sqrt(len(values))


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
