"""Deployment: export, verification and speed of trained networks."""
