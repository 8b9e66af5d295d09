"""The experiments, one module each: `run(config, workdir)` and `figures(runs)`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # mypy checks the modules against the protocols
    from launch.experiment import Comparable, Ensemble, Experiment, Sweepable
    from launch.experiments import (
        crossmodal,
        grokking,
        mode_connectivity,
        prompt_learning,
        pruning,
        semisupervised,
        supervised,
        sweep,
    )

    _EXPERIMENTS: tuple[Experiment, ...] = (
        crossmodal,
        mode_connectivity,
        prompt_learning,
        pruning,
        sweep,
    )
    _SWEEPABLE: tuple[Sweepable, ...] = (grokking, semisupervised, supervised)
    _ENSEMBLES: tuple[Ensemble, ...] = (grokking,)
    _COMPARABLE: tuple[Comparable, ...] = (grokking,)
