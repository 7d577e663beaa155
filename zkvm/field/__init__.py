"""The field the machine computes in, and its quintic extension: plain integers, no dependency."""
