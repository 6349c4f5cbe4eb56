"""Types that several packages share."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
