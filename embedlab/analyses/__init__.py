"""Analyses: one question, one file."""
