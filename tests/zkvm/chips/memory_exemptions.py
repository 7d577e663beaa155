"""Cells of the memory, image, table and precompile chips that may change, and constraints that others imply: each with its proof."""

EXEMPT: dict[str, dict[str, str]] = {}
