"""
Parts that several chips share. Each states what it needs (Given) and what holds when its constraints do (Proves).

    step        the state bus: where a step starts and ends; the message to the program table
    registers   the frame of an instruction with rs1, rs2 or an immediate, and rd
    access      one access to a register or doubleword: token in, token out, time strictly later
    ranges      range checks
    limbs       addition and negation of 16-bit limbs, limbs from bytes, padding of shorter numbers
    sign        the top bit of a limb
    comparison  less than and equality of two 64-bit numbers, signed or not

A gadget is a `Columns` class that a chip takes in by `group(...)` where it has cells of its own, a function of `air`
that declares constraints and messages, and a `fill_...` kernel that writes the cells and counts the look-ups.

Conventions
-----------
- *limbs* are 16 bits wide, least significant first, four to a 64-bit number.
- A row of zeros satisfies every gadget and, with `is_real` 0, sends nothing.
- `is_real`, `count` are 0 or 1 by a constraint of the chip.
"""
