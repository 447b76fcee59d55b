"""Exported files compared with their checkpoints."""
