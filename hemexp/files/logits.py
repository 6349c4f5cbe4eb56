"""The logit of one risk and the risk of one logit, without scipy, whose import takes time."""

import math

_CLIP = 1e-6  # keeps the logit of a risk of 0 or 1 finite, as in a checkpoint's recalibration
_LARGEST = 700.0  # the exponential of a larger number overflows


def expit(logit: float) -> float:
    """Return the risk of a logit."""
    logit = min(max(logit, -_LARGEST), _LARGEST)
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))


def logit(risk: float) -> float:
    """Return the logit of a risk, which is kept away from 0 and 1."""
    risk = min(max(risk, _CLIP), 1 - _CLIP)
    return math.log(risk / (1 - risk))
