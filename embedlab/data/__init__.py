"""Data: datasets, probes, synthetic faces."""
