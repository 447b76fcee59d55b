"""Pseudo-labels, and rounds of teachers and students (section 4.4)."""
