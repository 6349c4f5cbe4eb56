"""Fit one model or many at once."""
