"""What kernels and their checks say when they refuse."""


class KernelInputError(ValueError):
    """A shape, dtype, layout or range that the called kernel does not take. Always the caller's mistake."""


class MerkleRefusal(Exception):
    """An opening that does not lead to the root, or has not the form of one. May be an opponent's doing."""
