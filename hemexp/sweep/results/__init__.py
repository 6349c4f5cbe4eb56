"""Results of a sweep: leaderboard, summary, nested cross-validation."""
