"""Fit one model or many together."""
