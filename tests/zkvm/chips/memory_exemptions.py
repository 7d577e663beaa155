"""Cells of the memory, image, table and precompile chips that may change, and constraints that others imply: each with its proof."""

_NOT_READ = "a load does not read rs2: the cell is in no message that counts, and in no constraint but for stores' flags, which are 0"
_NOT_WRITTEN = "a store does not write rd: the cell is in no message that counts"
_NO_POINTER = "the call has no such pointer: the cell is in no constraint and no message that counts, and the message's field is 0 times it"

FREE_CELLS: dict[tuple[str, str], dict[str, str]] = {
    ("memory_crossing", "load"): dict.fromkeys(("rs2.*", "value[*]", "value_high_byte[*]"), _NOT_READ),
    ("memory_crossing", "store"): dict.fromkeys(("rd.*", "rd_old[*]"), _NOT_WRITTEN),
    ("ecall", "no pointer"): dict.fromkeys(("a0_low", "a1_low"), _NO_POINTER),
    ("ecall", "one pointer"): {"a1_low": _NO_POINTER},
}
"""(chip, form) -> cells of real rows that nothing binds, and why that is harmless."""

_HIGH = (
    "the carry out of limb 1 is a bit, so high = base[1] + immediate[1] + carry - (0 or 2^16) lies in [-2^16, 2^17); below 0 the doubleword is "
    "p - 2^29 or more, from 2^16 on it is 2^29 or more, and the images hold only addresses below 2^29: the access finds no token"
)

EXEMPT: dict[str, dict[str, str]] = {
    name: {"address: high in range": _HIGH}
    for name in ("load_double", "store_double", "load_narrow", "store_narrow", "memory_crossing")
}
"""Chip -> constraint or look-up that is implied by the others, and the proof."""

EXEMPT["store_narrow"] |= {
    "at most one window": (
        "two flags make an operation of 88 to 92, three one of 132 and more; the program table holds operations up to 48 and immediate forms of 65 to 79"
    ),
}

EXEMPT["memory_crossing"] |= {
    "a load or not": "all flags are bits, so loads and stores are integers of 0 to 11 each, and their sum is 0 or 1: so is each",
    "at most one window": (
        "at most one load; a load and a store make an operation of 83 to 91, two stores one of 90 to 94, more one of 128 and more; the program table holds "
        "operations up to 48 and immediate forms of 65 to 79"
    ),
}

_TABLE = (
    "a table's answer: without it fewer look-ups balance, none more. What a table may answer is its fixed columns, which tests compare with their meaning"
)

EXEMPT |= {
    "memory_image": {
        "is_real is a bit": (
            "is_input and is_real - is_input are bits, so is_real is 0, 1 or 2; on the first row it is 1; 2 makes both of them 1, and the high limb would have to "
            "pass the look-ups of INPUT and of RAM, whose counts are never negative, so no other row takes them back"
        ),
        "padding stays padding": (
            "rows of padding repeat the address before them, so the step of a real row after them is measured from the last real row: addresses ascend strictly all "
            "the same. Kept because it makes the statement simpler"
        ),
        "the shard has an address": (
            "a shard without one sends no token; its rows all repeat one address, which is both public addresses, and the verifier wants these to ascend over shards"
        ),
    },
    "program": {"instruction": _TABLE},
    "range": {"value in range": _TABLE},
    "byte": dict.fromkeys(("and", "or", "xor"), _TABLE),
}

_NO_STEP = "the next row is padding (or there is none): the step is not looked up"
_PADDING = "a row of padding sends no token and looks nothing up; its address is bound as a whole, by its neighbours or the public"

FREE_CELLS |= {
    ("memory_image", "last row"): {"step_low": _NO_STEP},
    ("memory_image", "padding"): dict.fromkeys(("step_low", "initial[*]", "final[*]", "last_shard"), _PADDING),
}

EXEMPT["keccak_f"] = {
    "flag[#] is a bit": (
        "flag i on a row is flag i + 1 on the next, which is a bit; flag 23 is flag 22 of the row before, which is one: all 24 of a diagonal are equal"
    ),
    "parity[#][#] is a bit": "C' = C xor D with D's two parities bits makes C' = C or 1 - C, and C' is a bit",
    "theta_parity[#][#] is a bit": "C' = C xor D, and C and D's parities are bits",
}
EXEMPT["sha256_rounds"] = {
    "b[#] is a bit": "on row t > 0 it is a of row t - 1, on row 0 it is c of row 1: both are bits, and a group's rows always have both",
    "f[#] is a bit": "likewise: e of the row before, or g of the row after",
}
"""By family: numbers are written #."""
