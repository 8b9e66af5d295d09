"""MIR, HDR and entropies of whole data sets, with standard errors, from one pass over the data."""

from infojax.population.chance import ChanceLevel, chance_level
from infojax.population.features import interplay_of_features
from infojax.population.measures import class_interplay, interplay
from infojax.population.result import PopulationInterplay
from infojax.population.similarity import (
    class_mean_entropy,
    effective_rank,
    rank_bound,
    within_class_entropies,
)
from infojax.population.statistics import Statistics

__all__ = [
    "ChanceLevel",
    "PopulationInterplay",
    "Statistics",
    "chance_level",
    "class_interplay",
    "class_mean_entropy",
    "effective_rank",
    "interplay",
    "interplay_of_features",
    "rank_bound",
    "within_class_entropies",
]
