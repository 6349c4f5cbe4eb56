"""Damaged cohorts, and what a user learns of the damage."""
