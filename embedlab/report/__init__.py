"""The report: results as sections of one self-contained HTML file, and every number as JSON."""

from embedlab.report.build import build
from embedlab.report.sections import Section

__all__ = ["Section", "build"]
