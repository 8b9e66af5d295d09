"""Checks, speed and training on an accelerator: `python -m benchmarks.accelerator`."""
