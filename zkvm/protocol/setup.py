"""
Set-up: the commitments that are made once, to the machine's tables and to a program's.

Statement
---------
A fixed tree holds the fixed columns of several chips. The machine's root is a constant of the machine, checked by a
test that makes it anew; a program's root is computed from its ELF by whoever wants to know what a program id stands
for, and comes with every proof as part of the key. Nothing here is secret or random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zkvm.air.chip import Chip, as_matrix
from zkvm.air.expression import Phase
from zkvm.kernels.fast import merkle, montgomery, ntt
from zkvm.kernels.reference.poseidon2 import Digest
from zkvm.protocol.errors import ProverError
from zkvm.protocol.machine import FIXED_LOG_BLOWUP, NO_DIGEST, Machine, MachineTables, ProgramKey


@dataclass(frozen=True)
class FixedTables:
    """
    A fixed tree with what a prover needs of it. All matrices uint32, Montgomery form, by chip, in the tree's order.
    """

    traces: Mapping[str, np.ndarray]
    extensions: Mapping[str, np.ndarray]
    tree: merkle.MerkleTree | None
    """None where there are no tables."""

    @property
    def root(self) -> Digest:
        return self.tree.root if self.tree else NO_DIGEST

    @property
    def log_heights(self) -> tuple[int, ...]:
        """Of the traces."""
        return tuple(matrix.shape[0].bit_length() - 1 for matrix in self.traces.values())


def commit_fixed(matrices: Mapping[str, np.ndarray], log_blowup: int = FIXED_LOG_BLOWUP, threads: int | None = None) -> FixedTables:
    """
    Commits to fixed columns.

    matrices: by chip, records or (rows, width) uint32, canonical; not changed. Rows a power of two of at least 32.
    """
    traces = {
        name: montgomery.to_montgomery(np.array(as_matrix(matrix), dtype=np.uint32, order="C"), threads)
        for name, matrix in matrices.items()
    }
    extensions = {name: ntt.low_degree_extension(trace, log_blowup, threads=threads) for name, trace in traces.items()}
    tree = merkle.commit(list(extensions.values()), threads) if extensions else None
    return FixedTables(traces, extensions, tree)


def machine_tables(
    chips: Sequence[Chip], matrices: Mapping[str, np.ndarray], threads: int | None = None
) -> tuple[MachineTables, FixedTables]:
    """The machine's own tables: what a Machine is given, and what its prover keeps. matrices: as `commit_fixed`, of
    these chips in this order."""
    fixed = commit_fixed({chip.name: matrices[chip.name] for chip in chips}, threads=threads)
    return MachineTables(tuple(fixed.traces), fixed.log_heights, fixed.root), fixed


def program_key(
    machine: Machine, matrices: Mapping[str, np.ndarray], entry: int, threads: int | None = None
) -> tuple[ProgramKey, FixedTables]:
    """
    The key of a program, and what its prover keeps.

    matrices: the fixed columns of machine.program_tables, canonical. entry: where the program starts.
    Raises ProverError if a table is missing or has another width than its chip.
    """
    for name in machine.program_tables:
        width = machine.chips[machine.chip_index[name]].widths[Phase.FIXED]
        if name not in matrices or as_matrix(matrices[name]).shape[1] != width:
            raise ProverError(f"the program needs fixed columns for {name}, {width} of them")
    fixed = commit_fixed({name: matrices[name] for name in machine.program_tables}, threads=threads)
    return ProgramKey(fixed.root, fixed.log_heights, entry), fixed
