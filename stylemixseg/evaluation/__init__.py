"""Results and their files, and the check of the numbers."""
