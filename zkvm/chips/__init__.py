"""The machine's chips: one file each, in the order statement, columns, constraints, filler, reference."""
