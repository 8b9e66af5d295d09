"""Fourier spectra of a network that learned addition: before and after training."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes

from infojax.methods import fourier
from launch import runs
from launch.plots.panels import COLOURS, Figures, page
from launch.runs import Run
from launch.trained import Trained

_OPERATIONS = ("a+b", "a-b")  # whose waves are functions of the residues alone
_SEEDS = 4  # rows of the figure, at most
_MAPS = {
    "embedding": fourier.embedding_norms,
    "neurons to logits": fourier.logit_map_norms,
}


def figures(run: Run, task: str) -> Figures:
    """Draws `grokking_spectra` of the first seeds of a run; nothing where it has no meaning.

    Parameters after training come from the newest checkpoint; the initial ones are drawn again. A
    copy of a run without its checkpoints has no such figure.
    """
    saved = any(run.workdir.rglob("checkpoints/[0-9]*"))
    if run.config["operation"] not in _OPERATIONS or not saved:
        return {}
    trained = runs.load_seeds(run.workdir)[:_SEEDS]
    figure, axes = page(len(trained), 2, 1.1 + 1.5 * len(trained), sharex=True, sharey="col")
    for row, seed in zip(axes, trained, strict=True):
        before = initial_params(seed)
        for axis, norms in zip(row, _MAPS.values(), strict=True):
            _spectra(axis, np.asarray(norms(before)), np.asarray(norms(seed.params)))
        row[0].set_ylabel(f"norm, seed {seed.seed},\nepoch {seed.step:,}")
    for axis, name in zip(axes[0], _MAPS, strict=True):
        axis.set_title(name, pad=19)
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    for axis in axes[-1]:
        axis.set_ylim(bottom=0)  # once all rows, which share it, are drawn
        axis.set_xlabel(f"frequency k of cos(2πks / {run.config['modulus']})")
    figure.suptitle(f"Fourier norms: {task}, before and after training")
    return {"grokking_spectra": figure}


def initial_params(seed: Trained) -> Any:
    """The parameters of a seed of grokking before training."""
    drawn = jax.jit(seed.model.init)(jax.random.key(seed.seed), np.zeros((1, 2), np.int32))
    return jax.tree.map(lambda x: x * seed.config.init_scale, drawn["params"])


def _spectra(axis: Axes, before: np.ndarray, after: np.ndarray) -> None:
    k = np.arange(1, len(after) + 1)
    axis.bar(k, after, color=COLOURS[0], width=0.8, label="after")
    axis.plot(k, before, color=COLOURS[1], linewidth=1.2, label="before")
    axis.grid(alpha=0.3, linewidth=0.6, axis="y")
