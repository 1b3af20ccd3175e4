"""Pure functions that two or more analyses use, and the hot kernels."""
