"""Kernels and layers of networks."""
