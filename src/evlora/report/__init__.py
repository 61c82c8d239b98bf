"""Reports: what a recognizer does, as pictures and as one page that needs no other file."""

from typing import TYPE_CHECKING

from evlora.deferring import names_on_demand

if TYPE_CHECKING:
    from evlora.report.writing import write_report

__all__ = ["write_report"]

# The relevance of patches alone needs neither statistics nor the page.
__getattr__ = names_on_demand("evlora.report", {"evlora.report.writing": ("write_report",)})
