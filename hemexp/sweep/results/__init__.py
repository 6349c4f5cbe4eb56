"""Rank the jobs of a sweep, summarize them, and evaluate the choice."""
