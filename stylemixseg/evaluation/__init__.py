"""What was measured, kept so that it can be checked: results with intervals, their files, numbers that moved."""
