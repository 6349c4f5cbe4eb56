"""Check the table of scans, whatever files it was read from.

- `scans` begins: the range of each column and the rules between rows; it calls all others but `same_patient`.
- `agreement` compares columns that say the same thing twice, by the table in `relations`.
- `volumes` checks the unit of each volume, and the volumes of a patient against each other.
- `plausible` looks at the cohort as a whole: medians, late scans, dates in serials, territories.
- `gaps` warns of what is missing.
- `same_patient` finds one person under two ids, by the evidence that `measurements` weighs.
"""
