"""Array types of the detector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Tensor = NDArray[np.float32]
ByteArray = NDArray[np.uint8]
