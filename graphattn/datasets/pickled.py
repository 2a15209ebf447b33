"""Old pickles read as data: lists, numbers, arrays and sparse rows, and nothing that is called.

The stream of a pickle is a program. This reads it without Python's `pickle`: what it would call or
import is noted by name, names that no data set needs are refused, and nothing is ever executed.
"""

import ast
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphattn.datasets.npz import CorruptDataset

_WRONG = (SyntaxError, TypeError, ValueError, LookupError, struct.error)
_FAULTS = (*_WRONG, EOFError, MemoryError, OverflowError, RecursionError)
_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMBERS = {"i4": "i", "i8": "q"}
_NAMES = {
    **{(core, "_reconstruct"): "make array" for core in _CORES},
    **{(core, "scalar"): "number" for core in _CORES},
    ("numpy", "ndarray"): "array",
    ("numpy", "dtype"): "dtype",
    ("scipy.sparse.csr", "csr_matrix"): "rows",
    ("scipy.sparse._csr", "csr_matrix"): "rows",
    ("copy_reg", "_reconstructor"): "make",
    ("copyreg", "_reconstructor"): "make",
    ("__builtin__", "object"): "object",
    ("builtins", "object"): "object",
    ("__builtin__", "list"): "list",
    ("builtins", "list"): "list",
    ("collections", "defaultdict"): "dict",
    ("_codecs", "encode"): "bytes",
}


@dataclass(frozen=True)
class _Name:
    """What the stream would import."""

    kind: str


@dataclass(eq=False)
class Made:
    """What the stream would construct.

    Attributes:
        kind: "array", "dtype" or "rows".
        args: It would be constructed with.
        state: It would be given then.

    Example:
        >>> Made("dtype", ("f4", 0, 1)).args[0]
        'f4'
    """

    kind: str
    args: tuple[Any, ...] = ()
    state: Any = None


def read_pickled(path: Path) -> Any:
    """Read a pickle of protocol 0 to 4, such as Python 2 wrote.

    Args:
        path: The file, which exists.

    Returns:
        Numbers, strings (bytes of Python 2 as Latin-1), lists, tuples and dicts with whole numbers
        or strings as keys; arrays and sparse matrices as `Made`.

    Raises:
        CorruptDataset: It is torn, or would import or call anything else; nothing was executed.

    Example:
        >>> import pickle, tempfile
        >>> path = Path(tempfile.mkdtemp()) / "graph"
        >>> _ = path.write_bytes(pickle.dumps({0: [1, 2]}, protocol=2))
        >>> read_pickled(path)
        {0: [1, 2]}
    """
    try:
        return _Stream(path.read_bytes()).run()
    except _FAULTS as error:
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        raise CorruptDataset(
            f"{path} cannot be read as a pickle of plain data ({reason}): nothing in it was "
            "executed; fetch it again."
        ) from error


class _Stream:
    """The machine a pickle is a program for, with a stack, marks and a memo."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self._bytes(1)
            if code == b".":
                return self._pop()
            step = _STEPS.get(code)
            if step is None:
                raise ValueError(f"the instruction {code!r} at byte {self._at - 1}")
            step(self)

    def _bytes(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise EOFError("it ends too early")
        self._at += count
        return piece

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise EOFError("it ends within a line")
        piece = self._data[self._at : end]
        self._at = end + 1
        return piece

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))[0]

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise IndexError("it takes from an empty stack")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _top(self, kind: type) -> Any:
        top = self._pop()
        self._stack.append(top)
        if type(top) is not kind:
            raise TypeError(f"it fills a {type(top).__name__} as if it were a {kind.__name__}")
        return top

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    def get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def text(self, form: str) -> str:
        return self._bytes(self._number(form)).decode("utf-8", "surrogatepass")

    def quoted(self) -> str:
        line = self._line()
        if line[:1] not in (b"'", b'"') or not line.isascii():
            raise ValueError("a string without quotes")
        value = ast.literal_eval("b" + line.decode("ascii"))
        if not isinstance(value, bytes):
            raise TypeError("a string that is none")
        return value.decode("latin-1")

    def whole(self) -> int | bool:
        line = self._line()
        return line == b"01" if line in (b"00", b"01") else int(line.rstrip(b"L"))

    def extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def fill(self, items: list[Any]) -> None:
        table = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (int, str):
                raise TypeError(f"a {type(key).__name__} as a key")
            table[key] = value

    def name(self, module: Any, name: Any) -> None:
        kind = _NAMES.get((module, name)) if type(module) is type(name) is str else None
        if kind is None:
            raise ValueError(f"it names {str(module)[:60]}.{str(name)[:60]}, which is no data")
        self._stack.append(_Name(kind))

    def call(self) -> None:
        args, what = self._pop(), self._pop()
        if type(what) is not _Name or type(args) is not tuple:
            raise TypeError("it calls what is no name")
        self._stack.append(_construct(what.kind, args))

    def build(self) -> None:
        state = self._pop()
        self._top(Made).state = state


def _construct(kind: str, args: tuple[Any, ...]) -> Any:
    """What a call stands for, as data."""
    if kind == "make array":
        return Made("array")
    if kind == "dtype":
        return Made("dtype", args)
    if kind == "rows" or (kind == "make" and args and args[0] == _Name("rows")):
        return Made("rows")
    if kind in ("dict", "list"):
        return {} if kind == "dict" else []
    if kind == "bytes" and len(args) == 2 and args[1] == "latin1" and type(args[0]) is str:
        return args[0].encode("latin-1")
    if kind == "number" and len(args) == 2 and type(args[0]) is Made:
        raw = args[1].encode("latin-1") if type(args[1]) is str else args[1]
        state = args[0].state
        form = _NUMBERS.get(args[0].args[0]) if args[0].args else None
        if form and type(raw) is bytes and type(state) is tuple and state[1:2] == ("<",):
            return struct.unpack(f"<{form}", raw)[0]
    raise TypeError(f"it makes a {kind} of {len(args)} things")


def _memo(form: str, method: Callable[[_Stream, int], None]) -> Callable[[_Stream], None]:
    return lambda s: method(s, s._number(form))


def _tuple(count: int) -> Callable[[_Stream], None]:
    def step(s: _Stream) -> None:
        items = [s._pop() for _ in range(count)]
        s.push(tuple(reversed(items)))

    return step


def _dict(s: _Stream) -> None:
    items = s._pop_to_mark()
    s.push({})
    s.fill(items)


_STEPS: dict[bytes, Callable[[_Stream], object]] = {
    b"\x80": lambda s: s._bytes(1),  # protocol
    b"\x95": lambda s: s._bytes(8),  # frame
    b"N": lambda s: s.push(None),
    b"\x88": lambda s: s.push(True),
    b"\x89": lambda s: s.push(False),
    b"I": lambda s: s.push(s.whole()),
    b"L": lambda s: s.push(s.whole()),
    b"J": lambda s: s.push(s._number("<i")),
    b"K": lambda s: s.push(s._number("<B")),
    b"M": lambda s: s.push(s._number("<H")),
    b"\x8a": lambda s: s.push(int.from_bytes(s._bytes(s._number("<B")), "little", signed=True)),
    b"F": lambda s: s.push(float(s._line())),
    b"G": lambda s: s.push(s._number(">d")),
    b"S": lambda s: s.push(s.quoted()),
    b"T": lambda s: s.push(s._bytes(s._number("<I")).decode("latin-1")),
    b"U": lambda s: s.push(s._bytes(s._number("<B")).decode("latin-1")),
    b"V": lambda s: s.push(s._line().decode("raw-unicode-escape")),
    b"X": lambda s: s.push(s.text("<I")),
    b"\x8c": lambda s: s.push(s.text("<B")),
    b"\x8d": lambda s: s.push(s.text("<Q")),
    b"B": lambda s: s.push(s._bytes(s._number("<I"))),
    b"C": lambda s: s.push(s._bytes(s._number("<B"))),
    b"\x8e": lambda s: s.push(s._bytes(s._number("<Q"))),
    b"(": lambda s: s.mark(),
    b"t": lambda s: s.push(tuple(s._pop_to_mark())),
    b")": lambda s: s.push(()),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"]": lambda s: s.push([]),
    b"l": lambda s: s.push(s._pop_to_mark()),
    b"a": lambda s: s.extend([s._pop()]),
    b"e": lambda s: s.extend(s._pop_to_mark()),
    b"}": lambda s: s.push({}),
    b"d": _dict,
    b"s": lambda s: s.fill([s._pop(), s._pop()][::-1]),
    b"u": lambda s: s.fill(s._pop_to_mark()),
    b"p": lambda s: s.put(int(s._line())),
    b"q": _memo("<B", _Stream.put),
    b"r": _memo("<I", _Stream.put),
    b"\x94": lambda s: s.put(len(s._memo)),
    b"g": lambda s: s.get(int(s._line())),
    b"h": _memo("<B", _Stream.get),
    b"j": _memo("<I", _Stream.get),
    b"c": lambda s: s.name(s._line().decode("latin-1"), s._line().decode("latin-1")),
    b"\x93": lambda s: s.name(*[s._pop(), s._pop()][::-1]),
    b"R": lambda s: s.call(),
    b"\x81": lambda s: s.call(),
    b"b": lambda s: s.build(),
}
