"""Prompt learning: accuracy and measures over steps, one line for each weight of CMA."""

from launch.plots.panels import Figures, page, panel, require_records, seeds
from launch.runs import Run

_PANELS = {
    "test/accuracy": "test accuracy",
    "validation/accuracy": "validation accuracy",
    "test/modality_gap": "modality gap (test)",
    "test/class_entropy": "entropy of a class's images\nand text, mean (test)",
    "test/mir": "MIR, images and texts (test)",
    "test/hdr": "HDR, images and texts (test)",
}


def figures(runs: list[Run]) -> Figures:
    """Draws `prompt_learning`."""
    require_records(runs)
    weights = ["0", *(f"{weight:g}" for weight in runs[0].config["alignment_weights"])]
    figure, axes = page(3, 2, 8, sharex=True)
    for axis, (metric, label) in zip(axes.flat, _PANELS.items(), strict=True):
        panel(axis, runs, {f"λ = {w}": f"{metric}_{w}" for w in weights}, label)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    shots = runs[0].config["shots"]
    figure.suptitle(f"Prompt learning, {shots} shots, (1 - λ) CE + λ CMA: {seeds(runs)}")
    return {"prompt_learning": figure}
