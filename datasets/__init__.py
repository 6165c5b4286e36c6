"""Offline data: recorded episodes, their cards and their files. NumPy and h5py only, never torch."""
