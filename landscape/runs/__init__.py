"""What was computed (``Library``) and who computes it (``Jobs``). Nothing here imports torch."""

from landscape.runs.jobs import Jobs
from landscape.runs.library import Library
from landscape.runs.records import Progress, Run

__all__ = ["Jobs", "Library", "Progress", "Run"]
