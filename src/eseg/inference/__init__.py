"""Evaluation, predictions for image files, and files for test servers."""
