"""Compiled kernels. Each name here has a plain twin of the same name in `reference`, which says what it means."""
