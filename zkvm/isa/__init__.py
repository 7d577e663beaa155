"""The instruction set RV64IM: one table, and its decoder, assembler and disassembler."""
