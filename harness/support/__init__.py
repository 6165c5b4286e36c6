"""Does a policy stay inside the data's support? Distances of chosen actions to the dataset's nearest ones (docs/support.md)."""

from harness.support.measure import Support, SupportOptions, measure
from harness.support.report import SupportReport

__all__ = ["Support", "SupportOptions", "SupportReport", "measure"]
