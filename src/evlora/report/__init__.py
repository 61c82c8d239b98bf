"""Reports: what a recognizer does, as pictures and as one page that needs no other file."""

from evlora.report.writing import write_report

__all__ = ["write_report"]
