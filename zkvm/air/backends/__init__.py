"""The uses of a chip's declaration, one file each."""
