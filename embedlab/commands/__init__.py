"""The command line and what it does: prepare, analyse, report."""
