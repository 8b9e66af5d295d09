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
# # Reading runs
#
# What `python -m launch` writes to a directory, and how to compare runs. List the directories of
# your runs below; without any, two small ones are made, with and without weight decay.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Image, display
from scipy import stats

from infojax import sample_interplay
from infojax.population import interplay_of_features as of_all
from infojax.training.recorder import read_records
from launch import experiment, plots
from launch.runs import load, load_run

# %matplotlib inline
runs = []  # for example [Path("../runs/cifar10"), Path("../runs/cifar10-smoothed")]

# %%
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "configs").is_dir())
if not runs:
    made = Path(tempfile.mkdtemp())
    for decay in (1.0, 0.0):
        runs.append(made / f"weight_decay={decay}")
        command = [sys.executable, "-m", "launch", "--config=configs/grokking.py:smoke"]
        command += [f"--workdir={runs[-1]}", f"--config.weight_decay={decay}"]
        command += ["--config.num_steps=500", "--config.checkpoint_every=500"]
        command += ["--config.train_fraction=0.6", "--config.learning_rate=0.003"]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        print(done.stdout + done.stderr)

# %% [markdown]
# ## The files of a run

# %%
for path in sorted(runs[0].iterdir()):
    print(f"{path.stat().st_size:>8} {path.name}")

# %% [markdown]
# `config.json` holds every setting; `environment.json` describes the machine of each start;
# `summary.json` has the final numbers with their spread over seeds, and the paper's observations
# with whether they hold.

# %%
configs = [json.loads((run / "config.json").read_text()) for run in runs]
for name in sorted({name for config in configs for name in config}):
    values = [config.get(name) for config in configs]
    if any(value != values[0] for value in values):
        print(f"differs: {name} = {values}")

start = json.loads((runs[0] / "environment.json").read_text())[-1]
print(start["started"], start["versions"]["jax"], start["devices"], start["git_commit"])

# %%
for run in runs:
    print(run.name)
    summary = json.loads((run / "summary.json").read_text())
    for name, observed in summary.get("observations", {}).items():
        print(f"  {name}: {observed['measured']}, holds: {observed['holds']}")

# %% [markdown]
# ## The records
#
# `metrics.jsonl` holds one JSON object per line. `load_run` reads the records of every seed.

# %%
loaded = [load_run(run) for run in runs]
history = loaded[0].histories[0]
assert history == read_records(runs[0]) or len(loaded[0].histories) > 1
print(f"{len(history)} records, to step {history[-1]['step']}, of")
print(", ".join(name for name in history[-1] if name not in ("step", "seconds")))

# %% [markdown]
# ## Your own curves
#
# Any metric of all runs on shared axes, with the range over seeds if there are several.

# %%
n = loaded[0].config["metric_batch_sizes"][0]
names = ("test/accuracy", f"test/mir_{n}", f"test/hdr_{n}")
figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
for run, style in zip(loaded, ("-", "--", ":", "-.") * len(loaded), strict=False):
    for axis, name in zip(axes, names, strict=True):
        steps = [record["step"] for record in run.histories[0]]
        values = np.array([[record[name] for record in h] for h in run.histories])
        (line,) = axis.plot(steps, values.mean(0), style, label=run.name)
        axis.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2)
        axis.set(title=name, xlabel="step")
axes[0].legend()
plt.show()

# %% [markdown]
# ## Does a metric follow accuracy?
#
# The rank correlation over the evaluations of a run shows whether two curves move together, not
# that one causes the other.

# %%
for run in loaded:
    accuracy, *others = ([record[name] for record in run.histories[0]] for name in names)
    for name, values in zip(names[1:], others, strict=True):
        print(
            f"{run.name}: {name} with accuracy {stats.spearmanr(accuracy, values).statistic:+.2f}"
        )

# %% [markdown]
# ## A trained network on new data
#
# `load` reads the evaluated parameters of a run; `features` takes inputs as its data hold them.
# Here they are all pairs of numbers; for image classification, put in images of your own.

# %%
trained = load(runs[0])
if trained.config.experiment == "grokking":
    inputs = np.stack(np.divmod(np.arange(trained.config.modulus**2), trained.config.modulus), 1)
    labels = inputs.sum(1) % trained.config.modulus
else:
    inputs, labels = trained.data().test  # images uint8 [n, h, w, channels]
z, logits = trained.features(inputs)
w, bias = trained.head
batch, whole = (f(z[:m], labels[:m], w) for f, m in ((sample_interplay, 64), (of_all, len(z))))
print(f"step {trained.step}: MIR {batch.mir:.3f} of 64 inputs, {whole.mir:.3f} of all {len(z)}")

# %% [markdown]
# ## The figures of the paper
#
# What `python -m launch.figures RUN [RUN ...]` draws, on shared axes.

# %%
figures = experiment.load(loaded[0].config["experiment"]).figures
for path in plots.draw(figures, runs, Path(tempfile.mkdtemp())):
    display(Image(path))
