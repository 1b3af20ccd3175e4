"""Resampling of people: bootstrap, folds, permutations."""
