"""EVM assembly as text, and the contracts that the live chains hold."""

from __future__ import annotations

from ethereum.forks.osaka.vm.instructions import Ops

OPCODES = {operation.name: operation.value for operation in Ops}


def assemble(source: str) -> bytes:
    """
    The bytecode of whitespace-separated tokens.

    An opcode's name; a number in Python's notation, pushed by the shortest PUSH; `name:` for a JUMPDEST; `@name` pushes
    its place, in two bytes; `;` starts a comment. Raises KeyError for an unknown name.
    """
    tokens = [token for line in source.splitlines() for token in line.split(";", 1)[0].split()]
    places: dict[str, int] = {}
    code = b""
    # Every token's size is known without its value, so one pass finds the places and the second fills them in.
    for _ in range(2):
        code = b""
        for token in tokens:
            if token.endswith(":"):
                places[token[:-1]] = len(code)
                code += bytes([OPCODES["JUMPDEST"]])
            elif token.startswith("@"):
                code += bytes([OPCODES["PUSH2"]]) + places.get(token[1:], 0).to_bytes(2, "big")
            elif token[0].isdigit():
                code += push(int(token, 0))
            else:
                code += bytes([OPCODES[token]])
    return code


def push(value: int) -> bytes:
    """The shortest PUSH of a value in 0..2^256-1."""
    size = (value.bit_length() + 7) // 8
    return bytes([OPCODES["PUSH0"] + size]) + value.to_bytes(size, "big")


def init_code(runtime: bytes) -> bytes:
    """Code that deploys `runtime`."""
    head = assemble(f"0x{len(runtime):x} DUP1 0 0 CODECOPY 0 RETURN")
    # The offset of the runtime code is below 256 and the 0 above takes one byte less than it.
    head = assemble(f"0x{len(runtime):x} DUP1 {len(head) + 1} 0 CODECOPY 0 RETURN")
    return head + runtime


def _for_each_word(body: str, step: int = 32) -> bytes:
    """A contract that runs `body` for each `step` bytes of its calldata; the offset is on the stack before and after."""
    return assemble(f"0 next: DUP1 CALLDATASIZE GT ISZERO @end JUMPI {body} {step} ADD @next JUMP end: STOP")


STORE = _for_each_word("DUP1 32 ADD CALLDATALOAD DUP2 CALLDATALOAD SSTORE", step=64)
"""slot := value for each pair of words."""

LOAD = _for_each_word("DUP1 CALLDATALOAD SLOAD 0 MSTORE 32 0 LOG0")
"""Logs the value of each slot."""

LOOK = _for_each_word("""
    DUP1 CALLDATALOAD BALANCE 0 MSTORE
    DUP1 CALLDATALOAD EXTCODESIZE 32 MSTORE
    DUP1 CALLDATALOAD EXTCODEHASH 64 MSTORE
    32 0 96 DUP4 CALLDATALOAD EXTCODECOPY      ; the first word of the code to 96
    128 0 LOG0
""")
"""Logs balance, code size, code hash and code of each address."""

ANCESTORS = _for_each_word("DUP1 CALLDATALOAD NUMBER SUB BLOCKHASH 0 MSTORE 32 0 LOG0")
"""Logs the hash of the block so many before this one, for each word."""

CALL = assemble("""
    32 CALLDATASIZE SUB 32 0 CALLDATACOPY                ; the data to 0
    0 0 32 CALLDATASIZE SUB 0 CALLVALUE 0 CALLDATALOAD GAS CALL
    0 MSTORE                                             ; success, over data that is used
    RETURNDATASIZE 0 32 RETURNDATACOPY
    RETURNDATASIZE 32 ADD 0 LOG0 STOP
""")
"""Calls the address in the first word with the rest and its value; logs success and what was returned."""

CREATE = assemble("""
    32 CALLDATASIZE SUB 32 0 CALLDATACOPY                ; the init code to 0
    0 CALLDATALOAD @salted JUMPI
    32 CALLDATASIZE SUB 0 CALLVALUE CREATE @made JUMP
    salted: 0 CALLDATALOAD 32 CALLDATASIZE SUB 0 CALLVALUE CREATE2
    made: DUP1 0 MSTORE
    0 0 0 0 0 DUP6 GAS CALL 32 MSTORE POP                ; calls what it made
    64 0 LOG0 STOP
""")
"""Creates what the data after the first word says, by CREATE2 where that word, the salt, is not 0, and calls it."""

DESTROY = assemble("0 CALLDATALOAD SELFDESTRUCT")
"""Destroys itself in favour of the address in its data."""

DESTROY_ITSELF = assemble("1 7 SSTORE 0xfee 3 SSTORE ADDRESS SELFDESTRUCT")
"""Writes two slots, then destroys itself in favour of itself."""

DESTROY_FOR_CALLER = assemble("1 7 SSTORE CALLER SELFDESTRUCT")

WRITE_AND_REVERT = assemble("1 0 SSTORE 0xdead 0xbeef SSTORE 0 0 REVERT")

BURN = assemble("again: GAS 0 SSTORE @again JUMP")
"""Uses all gas."""

NEW_OPCODES = assemble("1 CLZ 0 MSTORE BLOBBASEFEE 32 MSTORE 0 BLOBHASH 64 MSTORE 96 0 LOG0 STOP")
"""Osaka's CLZ, and what a blob transaction shows."""

TRANSIENT = assemble("CALLVALUE 5 TSTORE 5 TLOAD 0 MSTORE SELFBALANCE 32 MSTORE 64 0 LOG0 64 32 0 MCOPY STOP")

DEPOSIT = assemble("""
    CALLDATASIZE 0 0 CALLDATACOPY
    0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5 CALLDATASIZE 0 LOG1 STOP
""")
"""In the place of the deposit contract: emits its data as the DepositEvent of EIP-6110."""
