"""The syscalls, by number (docs/specs/machine.md, "ecall")."""

from enum import IntEnum, unique
from typing import Final

from zkvm.isa.instructions import Family


@unique
class Syscall(IntEnum):
    """What a7 may hold at an ecall."""

    DEBUG_WRITE = 64
    EXIT = 93
    REGION_BEGIN = 0x1001
    REGION_END = 0x1002
    KECCAK_F = 0x2001
    SHA256_COMPRESS = 0x2002
    SECP256K1_ADD = 0x2003
    SECP256K1_DOUBLE = 0x2004
    ARITH256 = 0x2005
    ARITH256_MOD = 0x2006

    @property
    def label(self) -> str:
        """The name in lower case, as reports write it."""
        return self.name.lower()


PRECOMPILE_FAMILY: Final[dict[Syscall, Family]] = {
    Syscall.KECCAK_F: Family.KECCAK_F,
    Syscall.SHA256_COMPRESS: Family.SHA256_COMPRESS,
    Syscall.SECP256K1_ADD: Family.SECP256K1_ADD,
    Syscall.SECP256K1_DOUBLE: Family.SECP256K1_DOUBLE,
    Syscall.ARITH256: Family.ARITH256,
    Syscall.ARITH256_MOD: Family.ARITH256_MOD,
}
"""The family whose chip proves each precompile call."""
