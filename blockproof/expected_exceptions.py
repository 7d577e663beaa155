"""
What the block guest says where a test expects an exception.

A refusal for another reason is no pass: a gap in the witness, say, would make every invalid block look understood. The names
are those of execution-spec-tests; a test may give several, joined by "|", where clients differ in what they check first.
"""

from __future__ import annotations

import re

_RLP = r"RLP (ends early|not canonical|has trailing bytes|list where a string is due|string where a list is due|string of a wrong length|integer too large)"
_DIFFICULTY = r"difficulty \d+ where \d+ is due"

# Reason after "transaction N: ".
_TRANSACTION: dict[str, str] = {
    "GASLIMIT_PRICE_PRODUCT_OVERFLOW": r"RLP integer too large|a fee of 2\^128 wei or more",
    "GAS_ALLOWANCE_EXCEEDED": r"gas limit \d+ above the \d+ left",
    "GAS_LIMIT_EXCEEDS_MAXIMUM": r"transaction validation error: transaction gas limit \(\d+\) is greater than the cap \(\d+\)",
    "INITCODE_SIZE_EXCEEDED": r"transaction validation error: create initcode size limit",
    "INSUFFICIENT_ACCOUNT_FUNDS": r"transaction validation error: lack of funds \(\d+\) for max fee \(\d+\)",
    "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS": r"transaction validation error: blob gas price \(\d+\) is greater than max fee per blob gas \(\d+\)",
    "INSUFFICIENT_MAX_FEE_PER_GAS": r"transaction validation error: gas price is less than basefee",
    "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST": r"transaction validation error: gas floor \(\d+\) exceeds the gas limit \(\d+\)",
    "INTRINSIC_GAS_TOO_LOW": r"transaction validation error: call gas cost \(\d+\) exceeds the gas limit \(\d+\)",
    # Before typed transactions the chain id is a part of v.
    "INVALID_CHAINID": r"transaction of chain \d+|transaction signature has v = \d+",
    "INVALID_SIGNATURE_VRS": r"transaction signature (is not valid|has v = \d+|has y parity \d+)",
    "NONCE_IS_MAX": r"transaction validation error: nonce overflow in transaction",
    "NONCE_MISMATCH_TOO_HIGH": r"transaction validation error: nonce \d+ too high, expected \d+",
    "NONCE_MISMATCH_TOO_LOW": r"transaction validation error: nonce \d+ too low, expected \d+",
    "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS": r"transaction validation error: priority fee is greater than max fee",
    "SENDER_NOT_EOA": r"transaction validation error: reject transactions from senders with deployed code",
    "TYPE_1_TX_PRE_FORK": r"transaction type 1 before Berlin",
    "TYPE_2_TX_PRE_FORK": r"transaction type 2 before London",
    "TYPE_3_TX_BLOB_COUNT_EXCEEDED": r"transaction validation error: too many blobs, have \d+, max \d+",
    "TYPE_3_TX_CONTRACT_CREATION": r"transaction type 3 creates a contract",
    "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH": r"transaction validation error: blob version not supported",
    "TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED": r"blob gas \d+ above \d+",
    "TYPE_3_TX_PRE_FORK": r"transaction type 3 before Cancun",
    "TYPE_3_TX_WITH_FULL_BLOBS": r"RLP list where a string is due",
    "TYPE_3_TX_ZERO_BLOBS": r"transaction validation error: empty blobs",
    "TYPE_4_EMPTY_AUTHORIZATION_LIST": r"transaction validation error: empty authorization list",
    "TYPE_4_TX_CONTRACT_CREATION": r"transaction type 4 creates a contract",
    "TYPE_4_TX_PRE_FORK": r"transaction type 4 before Prague",
}

_BLOCK: dict[str, str] = {
    "EXTRA_DATA_TOO_BIG": r"extra data of \d+ bytes",
    "GAS_USED_OVERFLOW": r"gas used \d+ above the gas limit \d+|transaction \d+: (gas limit \d+ above the \d+ left|block gas above its limit)",
    "IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS": r"difficulty \d+ after the Merge",
    "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS": r"ommers after the Merge",
    "INCORRECT_BLOB_GAS_USED": r"blob gas used \d+ where the transactions have \d+",
    "INCORRECT_BLOCK_FORMAT": rf"{_RLP}|header has \d+ fields|withdrawals root",
    "INCORRECT_EXCESS_BLOB_GAS": r"excess blob gas Some\(\d+\) where \d+ is due",
    "INVALID_BASEFEE_PER_GAS": r"base fee Some\(\d+\) where \d+ is due",
    "INVALID_BLOCK_HASH": r"block hash 0x[0-9a-f]{64} is not the computed 0x[0-9a-f]{64}",
    "INVALID_BLOCK_NUMBER": r"number \d+ after parent number \d+",
    "INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT": r"timestamp \d+ not after the parent's \d+",
    "INVALID_DAO_EXTRA_DATA": r"extra data of DAO fork block \d+",
    "INVALID_DEPOSIT_EVENT_LAYOUT": r"deposit event (of \d+ bytes|with a wrong layout)",
    "INVALID_DIFFICULTY": _DIFFICULTY,
    "INVALID_GASLIMIT": r"gas limit \d+ after the parent's \d+",
    "INVALID_GAS_USED": r"gas used \d+ where execution used \d+",
    "INVALID_LOG_BLOOM": r"logs bloom",
    "INVALID_NONCE": r"nonce not zero after the Merge",
    "INVALID_RECEIPTS_ROOT": r"receipts root 0x[0-9a-f]{64} where execution gives 0x[0-9a-f]{64}",
    "INVALID_REQUESTS": r"requests hash Some\(0x[0-9a-f]{64}\) where execution gives Some\(0x[0-9a-f]{64}\)",
    "INVALID_STATE_ROOT": r"state root 0x[0-9a-f]{64} where execution gives 0x[0-9a-f]{64}",
    "INVALID_TRANSACTIONS_ROOT": r"transactions root",
    "INVALID_UNCLES_HASH": r"ommers hash",
    "INVALID_UNCLE_DIFFICULTY": _DIFFICULTY,
    "INVALID_VERSIONED_HASHES": r"versioned hashes are not those of the transactions",
    "INVALID_WITHDRAWALS_ROOT": r"withdrawals root",
    "RLP_BLOCK_LIMIT_EXCEEDED": r"block of \d+ bytes",
    "RLP_STRUCTURES_ENCODING": rf"(transaction \d+: )?{_RLP}",
    "SYSTEM_CONTRACT_CALL_FAILED": r"system call to 0x[0-9a-fA-F]{40} failed",
    "SYSTEM_CONTRACT_EMPTY": r"system contract 0x[0-9a-fA-F]{40} has no code",
    "TOO_MANY_UNCLES": r"\d+ ommers",
    "UNCLE_IN_CHAIN": r"the same ommer twice",
    "UNCLE_IS_ANCESTOR": r"ommer \d+ is an ancestor|ommer \d+ of block \d+",
    "UNCLE_PARENT_INCORRECT": r"parent of ommer \d+ is not an ancestor|ommer \d+ of block \d+",
    "UNCLE_UNKNOWN_PARENT": r"parent of ommer \d+ is not an ancestor",
}

PATTERNS: dict[str, re.Pattern[str]] = {
    f"TransactionException.{name}": re.compile(rf"transaction \d+: (?:{pattern})") for name, pattern in _TRANSACTION.items()
} | {f"BlockException.{name}": re.compile(pattern) for name, pattern in _BLOCK.items()}
"""What the reason is, whole, by the exception's name."""


_ANY_RLP = re.compile(_RLP)


def fits(exception: str, reason: str, readable: bool) -> bool:
    """
    Whether the guest's reason for flag 0 is one of the exceptions expected.

    exception: names joined by "|"; one that PATTERNS does not know is fit by nothing. reason: without "invalid: ". readable: whether
    the block's RLP can be decoded; then that of something else, of the witness, was at fault where the guest could not.
    """
    if readable and _ANY_RLP.fullmatch(reason):
        return False
    known = (PATTERNS.get(name.strip()) for name in exception.split("|"))
    return any(pattern is not None and pattern.fullmatch(reason) for pattern in known)
