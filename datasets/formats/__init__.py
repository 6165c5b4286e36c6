"""One file per format on disk; every reader returns a `datasets.schema.Dataset`."""
