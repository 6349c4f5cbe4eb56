"""Names of ``patient.NAME=VALUE`` as keys of Hydra, which knows only some letters: a header may hold any."""

import re


def encode_name(name: str) -> str:
    """Return a name as a key: other characters than letters of English, digits and ``_`` become ``_xHEX_``."""
    return re.sub(r"[^A-Za-z0-9_]", lambda found: f"_x{ord(found[0]):04x}_", name)


def decode_name(key: str) -> str:
    """Return the name that `encode_name` got."""
    return re.sub(r"_x([0-9a-f]{4,6})_", lambda found: chr(int(found[1], 16)), key)
