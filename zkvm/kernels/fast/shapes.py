"""The checks that stand before every kernel: nothing unchecked reaches compiled code, which checks nothing."""

import numpy as np

from zkvm.field.koala_bear import PRIME, TWO_ADICITY
from zkvm.kernels.errors import KernelInputError


def require_matrix(name: str, matrix: np.ndarray, column_count: int | None = None) -> None:
    """Raises KernelInputError unless a C-contiguous uint32 array [rows, column_count], or of any width if None."""
    if not isinstance(matrix, np.ndarray) or matrix.dtype != np.uint32 or matrix.ndim != 2:
        raise KernelInputError(f"{name} must be a uint32 array of two dimensions")
    if not matrix.flags.c_contiguous:
        raise KernelInputError(f"{name} must be C-contiguous")
    if column_count is not None and matrix.shape[1] != column_count:
        raise KernelInputError(f"{name} must have {column_count} columns, not {matrix.shape[1]}")


def require_vector(name: str, vector: np.ndarray) -> None:
    """Raises KernelInputError unless a C-contiguous uint32 array of one dimension."""
    if not isinstance(vector, np.ndarray) or vector.dtype != np.uint32 or vector.ndim != 1:
        raise KernelInputError(f"{name} must be a uint32 array of one dimension")
    if not vector.flags.c_contiguous:
        raise KernelInputError(f"{name} must be C-contiguous")


def log_height(name: str, height: int) -> int:
    """The exponent of a height that is a power of two, at most 2^24; else raises KernelInputError."""
    if height < 1 or height & (height - 1) or height > 2**TWO_ADICITY:
        raise KernelInputError(f"{name} has height {height}: it must be a power of two, at most 2^{TWO_ADICITY}")
    return height.bit_length() - 1


def require_shift(name: str, shift: int) -> None:
    """Raises KernelInputError unless 0 < shift < p."""
    if not 0 < shift < PRIME:
        raise KernelInputError(f"{name} must be a non-zero canonical element, not {shift}")


def to_montgomery_scalar(value: int) -> int:
    """value * 2^32 mod p."""
    return value * 2**32 % PRIME


def from_montgomery_scalar(value: int) -> int:
    """value / 2^32 mod p."""
    return int(value) * _INVERSE_OF_RADIX % PRIME


_INVERSE_OF_RADIX = pow(2**32, -1, PRIME)
