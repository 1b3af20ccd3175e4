"""Data: datasets, probes, pair lists, synthetic faces."""
