"""Pruning one network to one sparsity, fine-tuning it, and comparing its features with before."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import information, training
from infojax.methods import pruning
from infojax.training import evaluation, processes
from infojax.training.checkpoint import Checkpoints
from infojax.training.recorder import read_records
from launch import classifier, seeds, supervised

METHODS = ("one_shot", "gradual", "random")
_MASKS = 4  # stream of random numbers of a seed


class Study(NamedTuple):
    """What all points share.

    Attributes:
      config: of the study.
      finetune: of fine-tuning, as a supervised run would have it.
      program: of fine-tuning; its advance holds masks.
      update: of the program.
      features: function of params, model_state and images, with a leading axis of devices.
      compare: see `make_compare`.
      shards: of the test images.
    """

    config: ConfigDict
    finetune: ConfigDict
    program: supervised.Program
    update: training.Update
    features: Callable[[Any, Any, jax.Array], jax.Array]
    compare: Callable[[list[jax.Array], list[jax.Array], jax.Array], dict[str, jax.Array]]
    shards: evaluation.Shards

    def features_of(self, params: Any, model_state: Any) -> list[jax.Array]:
        """Features of the test images, chunk by chunk, of replicated parameters."""
        return [self.features(params, model_state, images) for images in self.shards.images]

    def measure(self, params: Any, model_state: Any) -> training.Metrics:
        """Metrics of replicated parameters on the test images."""
        name = self.program.split
        return self.program.measure_population(name, params, model_state, self.shards)

    def prunable(self, path: str, leaf: jax.Array) -> bool:
        """Whether a parameter may be pruned: kernels, that of the head only if so configured."""
        is_head = path.startswith("head/")
        return pruning.is_kernel(path, leaf) and (self.config.prune_head or not is_head)


class Trained(NamedTuple):
    """A network to be pruned.

    Attributes:
      seed: of its training.
      params: those that are evaluated.
      model_state: its BatchNorm statistics.
      features: of the test images, chunk by chunk, with a leading axis of devices.
      entropy: of the features of all test images, nats.
      held: the training images.
    """

    seed: int
    params: Any
    model_state: Any
    features: list[jax.Array]
    entropy: float
    held: classifier.Data


def build(config: ConfigDict, finetune: ConfigDict) -> Study:
    """Returns data and functions; one compilation of each serves all points.

    Args:
      config: of the study.
      finetune: of fine-tuning, as a supervised run would have it.
    """
    program = supervised.build(finetune)
    example = np.zeros((1, *program.data.train.images.shape[1:]), np.float32)
    init = functools.partial(program.model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), example)["params"]
    everything = jax.tree.map(lambda x: jnp.ones(x.shape, bool), shapes)
    update = classifier.make_update(finetune, program.model, program.data)
    update = update._replace(optimizer=pruning.masked(update.optimizer, everything))
    forward = classifier.make_forward(program.model, program.data)
    return Study(
        config,
        finetune,
        program._replace(advance=training.make_train_step(update, jax.default_backend() != "cpu")),
        update,
        training.mapped(lambda *arguments: forward(*arguments)[0]),
        make_compare(tuple(config.metric_batch_sizes)),
        evaluation.shard(program.data.test, config.eval_batch_size),
    )


def trained(study: Study, seed: int, params: Any, model_state: Any) -> Trained:
    """Measures a network, not replicated, that is to be pruned."""
    on_devices = training.replicate((params, model_state))
    metrics = study.measure(*on_devices)
    return Trained(
        seed,
        params,
        model_state,
        study.features_of(*on_devices),
        metrics[f"{study.program.split}/entropy_features"],
        supervised.held_data(study.program, study.finetune, seed),
    )


def prune(
    study: Study, trained: Trained, method: str, sparsity: float, directory: Path
) -> dict[str, Any]:
    """Prunes and fine-tunes, or goes on with it; returns what is recorded of the point.

    Returns:
      Metrics `before` and `after` fine-tuning, and what the checkpoint was found to hold.

    Raises:
      RuntimeError: the checkpoint does not hold the mask's zeros.
    """
    state = training.init_state(study.update, trained.params, trained.model_state)
    if method == "one_shot":
        state = with_sparsity(study, state, sparsity)
    elif method == "random":
        key = jax.random.fold_in(jax.random.key(trained.seed), _MASKS)
        state = _with_mask(state, pruning.random_mask(key, state.params, sparsity, study.prunable))

    def advance(state: training.TrainState, count: int) -> training.TrainState:
        if method == "gradual":
            return advance_gradually(study, trained, sparsity, state, count)
        return study.program.advance(state, trained.held, count)

    split, n = study.program.split, study.config.metric_batch_sizes[0]
    seeds.fit(
        directory,
        study.finetune,
        state,
        advance,
        functools.partial(evaluate, study, trained),
        [0, study.finetune.num_steps],
        ("train/loss", *(f"{split}/{x}" for x in ("accuracy", f"between_mir_{n}"))),
    )
    first, *_, last = processes.from_first(lambda: read_records(directory))
    return {"before": first, "after": last, **check_zeros(study, directory, state, sparsity)}


def with_sparsity(study: Study, state: training.TrainState, sparsity: float) -> training.TrainState:
    """A state, not replicated, pruned by magnitude; what was pruned before goes first."""
    return _with_mask(state, pruning.magnitude_mask(state.params, sparsity, study.prunable))


def _with_mask(state: training.TrainState, mask: pruning.Mask) -> training.TrainState:
    """Parameters, their average and the optimiser's state with a mask."""
    return state.replace(
        params=pruning.apply_mask(state.params, mask),
        ema=None if state.ema is None else pruning.apply_mask(state.ema, mask),
        opt_state=pruning.with_mask(state.opt_state, mask),
    )


def advance_gradually(
    study: Study, trained: Trained, final: float, state: training.TrainState, count: int
) -> training.TrainState:
    """Updates of a replicated state, the sparsity growing every `mask_every` steps."""
    every, end = study.config.mask_every, study.config.gradual_steps
    step = int(training.single(state.step))
    stop = step + count
    while step < stop:
        target = min(stop, (step // every + 1) * every)
        state = study.program.advance(state, trained.held, target - step)
        step = target
        if step % every == 0 and step <= end:
            # On the host, where floor(s n) is exact in double precision.
            sparsity = float(pruning.gradual_sparsity(step, end, final))
            state = training.replicate(with_sparsity(study, training.single(state), sparsity))
    return state


def evaluate(study: Study, trained: Trained, replicated: training.TrainState) -> training.Metrics:
    """Metrics of a network, and what its features share with those before pruning."""
    split = study.program.split
    network = supervised.evaluated_params(replicated), replicated.model_state
    found = study.measure(*network)
    features = study.features_of(*network)
    shared = training.single(study.compare(trained.features, features, study.shards.labels))
    found |= {f"{split}/{name}": float(value) for name, value in shared.items()}
    entropies = trained.entropy, found[f"{split}/entropy_features"]
    largest = max(entropies)
    difference = abs(entropies[0] - entropies[1])
    found[f"{split}/between_population_hdr"] = difference / largest if largest > 0 else 0.0
    return found | supervised.terms_of(training.single(replicated))


def make_compare(sizes: tuple[int, ...]) -> Callable[..., dict[str, jax.Array]]:
    """Returns the function that compares two representations of the same images, by batches.

    Args:
      sizes: of the batches over which MIR and HDR are averaged.

    Returns:
      A function of two lists of chunks of features [devices, size, d] and of labels [devices, n],
      -1 for padding, to `between_mir_N` and `between_hdr_N`; what is left over makes no batch.
    """

    def compare(before, after, labels):
        z, v = jnp.concatenate(before), jnp.concatenate(after)
        found = {}
        for n in sizes:
            full = jnp.all(labels.reshape(-1, n) >= 0, 1)
            pairs = z.reshape(-1, n, z.shape[1]), v.reshape(-1, n, v.shape[1])
            shared = jax.lax.map(lambda pair: information.interplay(*pair), pairs)
            count = jax.lax.psum(jnp.sum(full), training.AXIS).astype(jnp.float32)
            for name, values in (("mir", shared.mir), ("hdr", shared.hdr)):
                total = jax.lax.psum(jnp.sum(jnp.where(full, values, 0)), training.AXIS)
                found[f"between_{name}_{n}"] = total / count
        return found

    return training.mapped(compare)


def read_checkpoint(directory: Path, template: training.TrainState) -> training.TrainState | None:
    """Returns the newest state in a directory of checkpoints."""
    checkpoints = Checkpoints(directory / "checkpoints")
    try:
        return checkpoints.restore(template)
    finally:
        checkpoints.close()


def check_zeros(
    study: Study, directory: Path, template: training.TrainState, sparsity: float
) -> dict[str, int]:
    """Counts the weights that may be pruned, and the zeros among them, in a checkpoint.

    Raises:
      RuntimeError: not floor(s n) of n weights are masked, or a masked weight is not zero.
    """
    state = read_checkpoint(directory, template)
    assert state is not None  # it is saved at the end of fine-tuning
    masks = jax.tree.leaves(state.opt_state.mask)
    weights = masked = zeros = left = 0
    for tree in (state.params,) if state.ema is None else (state.ema, state.params):
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        left += sum(int(np.sum(x[~m] != 0)) for (_, x), m in zip(leaves, masks, strict=True))
    for (path, x), m in zip(leaves, masks, strict=True):
        masked += int(np.sum(~m))
        if study.prunable(jax.tree_util.keystr(path, simple=True, separator="/"), x):
            weights, zeros = weights + x.size, zeros + int(np.sum(x == 0))
    if left or masked != math.floor(sparsity * weights):
        raise RuntimeError(
            f"{directory}: sparsity {sparsity} of {weights} weights, but the checkpoint holds "
            f"{masked} masked ones, {left} of them not zero"
        )
    return {"weights": weights, "zeros": zeros}
