"""Speed, memory and accuracy against other packages: `python -m benchmarks`."""
