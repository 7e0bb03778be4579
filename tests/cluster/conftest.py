"""One head for all tests of this folder; they import `heads` from beside."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from heads import head

__all__ = ["head"]
