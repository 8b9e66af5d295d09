"""Matrix information theory for deep learning: entropy, MIR and HDR of representations, in JAX."""

from infojax import collapse, losses, population
from infojax.information import (
    Interplay,
    class_interplay,
    effective_rank,
    feature_entropy,
    interplay,
    sample_interplay,
)
from infojax.matrices import hdr, matrix_entropy, mir, mutual_information
from infojax.moments import gram

__all__ = [
    "Interplay",
    "class_interplay",
    "collapse",
    "effective_rank",
    "feature_entropy",
    "gram",
    "hdr",
    "interplay",
    "losses",
    "matrix_entropy",
    "mir",
    "mutual_information",
    "population",
    "sample_interplay",
]
