"""The zero-knowledge machine: instruction set, emulator, constraints, kernels and proof system."""
