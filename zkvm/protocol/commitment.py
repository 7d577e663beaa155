"""
Commitments: one tree for the matrices of a phase, whatever their heights.

Statement
---------
Of trees as kernels/reference/merkle.py makes them: a leaf per row of the tallest matrices; shorter matrices join where
their height is reached. Query index q means row q mod height of each matrix. Given rows and a path for q,
`root_of_opening` computes the root that they lead to; equality with the committed root proves, unless the hash
collides, that these are the committed rows.
"""

from collections.abc import Sequence
from typing import Any

from zkvm.protocol.arithmetic import Arithmetic


def root_of_opening(
    arithmetic: Arithmetic, log_heights: Sequence[int], rows: Sequence[Any], index: Any, path: Sequence[Any]
) -> Any:
    """
    The root, as a lane value.

    log_heights: of the matrices, in the tree's order. rows: one lane value for each. index: the query, any number of
        bits.
    path: max(log_heights) siblings, from the leaves up.
    """
    top = max(log_heights)
    node = arithmetic.leaf([row for row, height in zip(rows, log_heights, strict=True) if height == top])
    for level, sibling in zip(reversed(range(top)), path, strict=True):
        # A node's sibling is half a layer away, so the highest of the remaining index bits says which of the two it is.
        node = arithmetic.compress(index, level, node, sibling)
        joining = [row for row, height in zip(rows, log_heights, strict=True) if height == level]
        if joining:
            node = arithmetic.join(node, arithmetic.leaf(joining))
    return node
