"""Recorder of golden tables from unmodified upstream SMAC environments; a developer tool, not a test.

Nothing here is imported by the test suite. See README.md for the separate environment it runs in.
"""
