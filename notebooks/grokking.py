# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,kernelspec,-jupytext.text_representation
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Grokking, over seeds and against controls
#
# A network that learns addition modulo a prime fits its training examples long before it
# generalises. What do MIR and HDR do in between: in every seed, in none that does not generalise,
# earlier than test accuracy or later? This notebook answers from the directory of a study,
#
#     python -m launch --config=grokking:seeds --workdir=runs/grokking_seeds
#
# which trains the same seeds with weight decay, without it, and on random labels. Without such a
# directory a small study is run, in which no network has the time to generalise.

# %%
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Markdown, display

from launch.plots import grokking_conditions, grokking_seeds, grokking_spectra
from launch.results import conditions, ensembles, onsets, transitions
from launch.runs import load_run

# %matplotlib inline
study = None  # for example Path("../runs/grokking_seeds")
others = []  # further studies: runs of grokking_controls or grokking_interventions

# %%
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "configs").is_dir())
if study is None:
    study = Path(tempfile.mkdtemp()) / "study"
    command = [sys.executable, "-m", "launch", "--config=grokking:seeds-smoke"]
    command += [f"--workdir={study}", "--config.num_steps=40"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    print(done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr)


# %% [markdown]
# ## The conditions
#
# Each has a directory of its own in `points`. A seed has generalised once its test accuracy exceeds
# 0.99.


# %%
def points_of(study):
    """The conditions of a study, in the order of its config."""
    config = load_run(study).config
    names = [
        ",".join(f"{k}={v}" for k, v in zip(config["fields"], row, strict=True))
        for row in config["points"]
    ]
    return [load_run(study / "points" / name) for name in names]


points = points_of(study)
first = points[0]
n = max(first.config["metric_batch_sizes"])
found = [ensembles.read(point) for point in points]
for condition in found:
    print(f"{condition.name}: {sum(condition.generalised)} of {len(condition.seeds)} generalise")

# %%
figure = grokking_conditions.comparison_figures(points)["grokking_conditions"]
plt.show()

# %% [markdown]
# ## What an onset is
#
# The largest rise or fall of the running median of a curve, from the epoch at which the training
# examples are fitted. It counts if it exceeds a least size and five standard deviations of the
# noise; the epoch is that of half the way. Here on curves whose onset is 1,000:

# %%
rng = np.random.default_rng(0)
steps = np.unique(np.geomspace(1, 5_000, 150).astype(int))
figure, axes = plt.subplots(1, 3, figsize=(7, 2.2), sharey=True, layout="constrained")
for axis, noise in zip(axes, (0.0, 0.05, 0.15), strict=True):
    curve = 0.2 + 0.6 / (1 + (1_000 / steps) ** 8) + noise * rng.normal(size=len(steps))
    rise = onsets.rise(steps, curve, 0.1)
    axis.plot(steps, curve, ".", markersize=3)
    axis.axvspan(rise.low, rise.high, alpha=0.3)
    axis.axvline(rise.half)
    axis.set(xscale="log", title=f"noise {noise:g}: epoch {rise.half:,.0f}", xlabel="epoch")
plt.show()

# %% [markdown]
# ## Transitions of every seed
#
# MIR and HDR at both levels: the sample level, of a test batch, and the class level, of class means
# and head. The table holds the epochs of half the way; a dash where there is no transition.

# %%
names = [name for name in found[0].found[0] if name.startswith(("test_acc", "mir", "hdr", "class"))]
texts = transitions.measures(n)
for condition in found:
    print(condition.name)
    for name in names:
        halves = [seed[name] for seed in condition.found]
        epochs = "  ".join("     -" if t is None else f"{t.half:6,.0f}" for t in halves)
        print(f"  {texts[name].text:45}{epochs}")

# %% [markdown]
# ## Do they tell who generalises, and do they lead?

# %%
summary, table = conditions.compare(points)
display(Markdown(table))
for observed in summary["comparison"]["observations"].values():
    print(f"{observed['text']}: {observed['measured'][0]}, holds: {observed['holds'][0]}")

# %% [markdown]
# The bands of all seeds, aligned at the onset of each, and the order of all measures. Left of 1 in
# the last figure is before test accuracy.

# %%
task = f"{first.config['operation']} mod {first.config['modulus']}"
figures = grokking_seeds.figures(first, task)
plt.show()

# %% [markdown]
# ## Do early values tell when?
#
# Spearman's correlation over seeds between a value at an early epoch and the onset, with its 95 %
# interval. With few seeds the intervals are wide; below five there are none.

# %%
early = summary["comparison"]["early"]
print(f"epoch {early['epoch']}: {early['begun']} seeds have begun, {early['censored']} never do")
for name, correlation in early["metrics"].items():
    print(f"  {name:25} {correlation}")

# %% [markdown]
# ## What was learned
#
# Fourier norms of the embedding and of the map from neurons to logits. A network that has
# generalised keeps a handful of frequencies.

# %%
grokking_spectra.figures(first, task)
plt.show()

# %% [markdown]
# ## Other studies
#
# Which settings decide whether and when a network generalises, and which interventions bring it
# forward: ratios of onsets, paired by seed.

# %%
for other in others:
    display(Markdown(conditions.compare(points_of(other))[1]))
    grokking_conditions.comparison_figures(points_of(other))
    plt.show()
