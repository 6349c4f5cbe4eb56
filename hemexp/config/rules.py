"""How a broken rule is told."""

import math
from collections.abc import Mapping
from typing import Any

from hemexp.errors import UserError


def rule(holds: bool, key: str, value: object, text: str) -> None:
    """Refuse a value that breaks the rule that `text` states."""
    if not holds:
        raise UserError(f"{key}={value}: {text}")


def finite(values: Mapping[str, Any], prefix: str = "") -> None:
    """Refuse a number that is infinite or none, at any depth."""
    for key, value in values.items():
        if isinstance(value, dict):
            finite(value, f"{prefix}{key}.")
        elif isinstance(value, float):
            rule(math.isfinite(value), f"{prefix}{key}", value, "must be a finite number")
