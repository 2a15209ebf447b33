"""Arrays of a MATLAB file of version 5 to 7, looked at before they are read."""

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat
from scipy.io.matlab import MatReadError, MatReadWarning
from scipy.sparse import issparse

from graphattn.datasets.npz import UNREADABLE
from graphattn.datasets.public_raw import corrupt
from graphattn.datasets.sparse_rows import sparse_rows

_HEAD, _MAGIC = 128, b"MATLAB 5.0 MAT-file"
_ENDIANS = {b"IM": "<", b"MI": ">"}
_NUMBERS = ("double", "single", "logical", "sparse", "int8", "int16", "int32", "int64")
_KINDS = (*_NUMBERS, "uint8", "uint16", "uint32", "uint64")
_UNREADABLE = (*UNREADABLE, AttributeError, IndexError, MatReadError, MatReadWarning)


class MatlabFile:
    """A `.mat` file, of which single arrays of numbers are read.

    Cells, structures, functions and objects are refused by their header, before they are read.

    Args:
        path: The file, which exists.

    Attributes:
        shapes: Of every array in it, by name.

    Raises:
        ValueError: It is of version 7.3, which is another format.
        CorruptDataset: It is torn, or no MATLAB file.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> path = Path(tempfile.mkdtemp()) / "a.mat"
        >>> savemat(path, {"years": np.array([[1990, 1991]])})
        >>> file = MatlabFile(path)
        >>> file.shapes, file.read("years").tolist()
        ({'years': (1, 2)}, [[1990, 1991]])
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._check_outline()
        found = self._guarded(whosmat)
        self.shapes = {name: tuple(shape) for name, shape, _ in found}
        self._kinds = {name: kind for name, _, kind in found}

    def need(self, *names: str) -> None:
        """Refuse the file if it has no such arrays.

        Raises:
            ValueError: The first kind of fault; what the file has is named.
        """
        missing = [name for name in names if name not in self.shapes]
        if missing:
            raise ValueError(
                f"{self._path} must hold {', '.join(names)}: got no {', '.join(missing)}, only "
                f"{', '.join(sorted(self.shapes)[:10]) or 'nothing'}."
            )
        for name in names:
            if self._kinds[name] not in _KINDS:
                raise ValueError(
                    f"{name} in {self._path} must hold numbers: got a {self._kinds[name]}."
                )

    def read(self, name: str) -> Any:
        """Read an array, or a sparse matrix by its rows.

        Args:
            name: Of the array.

        Raises:
            ValueError: There is no such array, or it holds no numbers.
            CorruptDataset: It is torn.
        """
        self.need(name)
        array = self._guarded(loadmat, variable_names=[name]).get(name)
        what = f"{name} in {self._path}"
        if issparse(array):
            parts = (array.data, array.indices, array.indptr)
            return sparse_rows(*parts, array.shape, what, by_column=True)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iufb":
            kind = getattr(array, "dtype", type(array).__name__)
            raise ValueError(f"{what} must hold real numbers: got {kind}.")
        return array

    def flat(self, name: str) -> NDArray[Any]:
        """Read an array as a list, whichever way it is turned."""
        array = self.read(name)
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} in {self._path} must be a list: got a sparse matrix.")
        return array.reshape(-1)

    def _guarded(self, function: Any, **options: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", MatReadWarning)
                return function(str(self._path), appendmat=False, **options)
        except _UNREADABLE as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise corrupt(self._path, "a MATLAB file", error) from error

    def _check_outline(self) -> None:
        """Walks over the elements, so that none is promised longer than the file."""
        size = self._path.stat().st_size
        with self._path.open("rb") as file:
            head = file.read(_HEAD)
            if head.startswith(b"MATLAB 7.3") or head.startswith(b"\x89HDF"):
                raise ValueError(
                    f"{self._path} must be a MATLAB file of version 5 to 7: got version 7.3; save "
                    "it again with -v7."
                )
            endian = _ENDIANS.get(head[126:128])
            if not head.startswith(_MAGIC) or endian is None:
                raise corrupt(self._path, "a MATLAB file", ValueError("it has no such head"))
            while file.tell() < size:
                tag = file.read(8)
                if len(tag) < 8:
                    raise corrupt(self._path, "a MATLAB file", EOFError("it ends in a tag"))
                kind, length = struct.unpack(f"{endian}II", tag)
                if kind not in (14, 15) or file.tell() + length > size:  # a matrix, or compressed
                    fault = EOFError(f"an element of kind {kind} and {length} bytes is cut off")
                    raise corrupt(self._path, "a MATLAB file", fault)
                file.seek(length, 1)
