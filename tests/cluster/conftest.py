"""A head for each file of this folder that wants one; they import `heads` from beside."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from heads import head

__all__ = ["head"]
