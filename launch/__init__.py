"""`python -m launch`: runs an experiment from a configuration file into a work directory."""

import os

# Before jax is imported: with several devices OpenBLAS's threads starve each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
