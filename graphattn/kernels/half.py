"""Half-precision numbers inside kernels, which numba cannot add: widened when read, rounded when
written. The type of the bits says which numbers they are: int16 is float16, uint16 is bfloat16."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_SHORT, _WORD = ir.IntType(16), ir.IntType(32)


def bits_of(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Views an array as what kernels read.

    Args:
        array: float16, or any other type, which is kept; bfloat16, unknown to NumPy, is uint16.

    Returns:
        The array; int16 in place of float16.

    Example:
        >>> bits_of(np.float16([1.0])).tolist()
        [15360]
    """
    return array.view(np.int16) if array.dtype == np.float16 else array


@intrinsic
def _wide(typing_context: Any, number: Any) -> Any:
    """Reads a number: float32 of int16 and uint16 bits, float32 and float64 as they are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (bits,) = arguments
        if number == types.int16:
            return builder.fpext(builder.bitcast(bits, ir.HalfType()), ir.FloatType())
        if number == types.uint16:
            return builder.bitcast(
                builder.shl(builder.zext(bits, _WORD), _WORD(16)), ir.FloatType()
            )
        return bits

    is_half = number in (types.int16, types.uint16)
    return (types.float32 if is_half else number)(number), generate


@intrinsic
def _narrow(typing_context: Any, number: Any, like: Any) -> Any:
    """Rounds float32 to the type of ``like``, to nearest, ties to even; keeps it if it has it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[0]
        if like == types.int16:
            return builder.bitcast(builder.fptrunc(value, ir.HalfType()), _SHORT)
        if like == types.uint16:
            word = builder.bitcast(value, _WORD)
            odd = builder.and_(builder.lshr(word, _WORD(16)), _WORD(1))
            rounded = builder.add(word, builder.add(odd, _WORD(0x7FFF)))
            is_nan = builder.fcmp_unordered("uno", value, value)  # which rounding could end
            kept = builder.select(is_nan, _WORD(0x7FC00000), rounded)
            return builder.trunc(builder.lshr(kept, _WORD(16)), _SHORT)
        return value

    fits = number == like or (number == types.float32 and like in (types.int16, types.uint16))
    return (like(number, like), generate) if fits else None


wide: Any = _wide
narrow: Any = _narrow
