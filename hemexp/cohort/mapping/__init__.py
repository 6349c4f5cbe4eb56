"""The mapping from the columns of a hospital's tables to the columns that hemexp knows.

- `mapping` is the file mapping.yaml; `given` applies the one that a user gives.
- `match` matches all tables: `guess` reads headers and values, `side_by_side` numbers the scans of a wide table,
  `formats` finds units, codes and the order of dates (`units`).
- `questions` asks for what is missing and applies the answers. A guess that is not safe is asked, too.
"""
