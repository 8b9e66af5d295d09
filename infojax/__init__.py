"""Matrix information theory for deep learning in JAX: entropy, MIR and HDR of representations."""

from infojax import collapse, losses, population
from infojax.information import (
    class_interplay,
    effective_rank,
    feature_entropy,
    interplay,
    sample_interplay,
)
from infojax.matrices import Interplay, hdr, matrix_entropy, mir, mutual_information
from infojax.moments import gram
from infojax.permutations import Chance, chance, corrected_mir

__version__ = "0.1.0"

__all__ = [
    "Chance",
    "Interplay",
    "__version__",
    "chance",
    "class_interplay",
    "collapse",
    "corrected_mir",
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
