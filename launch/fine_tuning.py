"""Prunes a network to one sparsity, fine-tunes it, and compares its features before and after."""

import contextlib
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
from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.methods import pruning
from infojax.models.classifier import Classifier
from infojax.training import evaluation, processes
from launch import classification, updates

METHODS = ("one_shot", "gradual", "random")
_MASKS = 4  # random stream of a seed


class Program(NamedTuple):
    """What all points share.

    Attributes:
      config: of the program.
      finetune: config of fine-tuning, as a supervised run would have it.
      network: of fine-tuning; its updates keep masks.
      features: function of params, model_state and images, with a leading device axis.
      compare: see `make_compare`.
      shards: of the test images.
      head: names of the parameters that the head consists of.
    """

    config: ConfigDict
    finetune: ConfigDict
    network: classification.Program
    features: Callable[[Any, Any, jax.Array], jax.Array]
    compare: Callable[[list[jax.Array], list[jax.Array], jax.Array], dict[str, jax.Array]]
    shards: evaluation.Shards
    head: frozenset[str]

    def features_of(self, params: Any, model_state: Any) -> list[jax.Array]:
        """Features of the test images, chunk by chunk, of replicated parameters."""
        return [self.features(params, model_state, images) for images in self.shards.images]

    def measure(self, params: Any, model_state: Any) -> training.Metrics:
        """Metrics of replicated parameters on the test images."""
        name = self.network.split
        return self.network.measure_population(name, params, model_state, self.shards)

    def prunable(self, path: str, leaf: jax.Array) -> bool:
        """Whether a parameter may be pruned: kernels; the head's only if so configured."""
        is_kernel = path.rpartition("/")[2] == "kernel" and pruning.is_kernel(path, leaf)
        return is_kernel and (self.config.prune_head or path not in self.head)


class Trained(NamedTuple):
    """A network to be pruned.

    Attributes:
      seed: of its training.
      params: the evaluated parameters.
      model_state: its BatchNorm statistics.
      features: of the test images, in chunks, with a leading device axis.
      entropy: of the features of all test images, nats.
      source: what fine-tuning draws its batches from.
    """

    seed: int
    params: Any
    model_state: Any
    features: list[jax.Array]
    entropy: float
    source: updates.Source


def build(config: ConfigDict, finetune: ConfigDict) -> Program:
    """Returns data and functions; one compilation of each serves all points.

    Args:
      config: of the program.
      finetune: of fine-tuning, as a supervised run would have it.

    Raises:
      UserError: the model has no parameters that may be pruned.
    """
    network = classification.build(finetune, _make_masked_update)
    forward = classification.make_forward(network.model, network.data)
    shapes = _shapes(network.model, network.data)
    program = Program(
        config,
        finetune,
        network,
        training.mapped(lambda *arguments: forward(*arguments)[0]),
        make_compare(tuple(config.metric_batch_sizes), config.chance_permutations),
        evaluation.shard(network.data.test, config.eval_batch_size),
        head_leaves(network.model, shapes),
    )
    if not any(program.prunable(name, leaf) for name, leaf in named_leaves(shapes)):
        raise UserError(f"model = {config.model!r} has no parameters named kernel outside its head")
    return program


def head_leaves(model: Classifier, shapes: Any) -> frozenset[str]:
    """Names of the parameters on which the head's rows and biases depend."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), shapes)
    gradient = jax.grad(lambda params: sum(map(jnp.sum, model.head_of(params))))(params)
    return frozenset(name for name, x in named_leaves(gradient) if np.any(x))


def _shapes(model: Classifier, data: Any) -> Any:
    """Shapes and dtypes of the parameters."""
    example = np.zeros((1, *data.train.images.shape[1:]), np.float32)
    return jax.eval_shape(model.init, jax.random.key(0), example)[0]


def _make_masked_update(config: ConfigDict, model: Classifier, data: Any) -> training.Update:
    """The update of supervised training, with an optimiser that keeps a mask."""
    everything = jax.tree.map(lambda x: jnp.ones(x.shape, bool), _shapes(model, data))
    update = updates.make_update(config, model, data)
    return update._replace(optimizer=pruning.masked(update.optimizer, everything))


def measure_trained(program: Program, seed: int, params: Any, model_state: Any) -> Trained:
    """Measures a network, not replicated, that is to be pruned."""
    on_devices = training.replicate((params, model_state))
    metrics = program.measure(*on_devices)
    return Trained(
        seed,
        params,
        model_state,
        program.features_of(*on_devices),
        metrics[f"{program.network.split}/entropy_features"],
        classification.make_source(program.network, program.finetune, seed),
    )


def prune(
    program: Program, trained: Trained, method: str, sparsity: float, directory: Path
) -> dict[str, Any]:
    """Prunes and fine-tunes, or resumes; returns the record of the point.

    Returns:
      Metrics `before` and `after` fine-tuning, and the counts of `check_zeros`.

    Raises:
      RuntimeError: the checkpoint lacks zeros of the mask.
    """
    network = program.network
    state = training.init_state(network.update, trained.params, trained.model_state)
    if method == "one_shot":
        state = with_sparsity(program, state, sparsity)
    elif method == "random":
        key = jax.random.fold_in(jax.random.key(trained.seed), _MASKS)
        mask = pruning.random_mask(key, state.params, sparsity, program.prunable)
        state = _with_mask(state, mask)

    def advance(state: training.TrainState, count: int) -> training.TrainState:
        if method == "gradual":
            return advance_gradually(program, trained, sparsity, state, count)
        return network.advance(state, trained.source, count)

    n = program.config.metric_batch_sizes[0]
    plan = training.Plan(
        directory,
        functools.partial(evaluate, program, trained),
        [0, program.finetune.num_steps],
        program.finetune.checkpoint_every,
        program.finetune.steps_per_call,
        ("train/loss", *(f"{network.split}/{x}" for x in ("accuracy", f"between_mir_{n}"))),
    )
    training.fit(state, advance, plan)
    first, *_, last = processes.from_first(lambda: training.read_records(directory))
    return {"before": first, "after": last, **check_zeros(program, directory, state, sparsity)}


def with_sparsity(
    program: Program, state: training.TrainState, sparsity: float
) -> training.TrainState:
    """A state, not replicated, pruned by magnitude; weights pruned before are pruned first."""
    return _with_mask(state, pruning.magnitude_mask(state.params, sparsity, program.prunable))


def _with_mask(state: training.TrainState, mask: pruning.Mask) -> training.TrainState:
    """Applies a mask to the parameters, their average and the optimiser's state."""
    return state.replace(
        params=pruning.apply_mask(state.params, mask),
        ema=None if state.ema is None else pruning.apply_mask(state.ema, mask),
        opt_state=pruning.with_mask(state.opt_state, mask),
    )


def advance_gradually(
    program: Program, trained: Trained, final: float, state: training.TrainState, count: int
) -> training.TrainState:
    """Updates of a replicated state, the sparsity growing every `mask_every` steps."""
    every, end = program.config.mask_every, program.config.gradual_steps
    step = int(training.single(state.step))
    stop = step + count
    while step < stop:
        target = min(stop, (step // every + 1) * every)
        state = program.network.advance(state, trained.source, target - step)
        step = target
        if step % every == 0 and step <= end:
            # On the host, where floor(s n) is exact in double precision.
            sparsity = float(pruning.gradual_sparsity(step, end, final))
            state = training.replicate(with_sparsity(program, training.single(state), sparsity))
    return state


def evaluate(
    program: Program, trained: Trained, replicated: training.TrainState
) -> training.Metrics:
    """Metrics of a network, and what its features share with those before pruning."""
    split = program.network.split
    network = classification.evaluated_params(replicated), replicated.model_state
    found = program.measure(*network)
    features = program.features_of(*network)
    shared = training.single(program.compare(trained.features, features, program.shards.labels))
    found |= {f"{split}/{name}": float(value) for name, value in shared.items()}
    entropies = trained.entropy, found[f"{split}/entropy_features"]
    largest = max(entropies)
    difference = abs(entropies[0] - entropies[1])
    found[f"{split}/between_population_hdr"] = difference / largest if largest > 0 else 0.0
    return found | classification.latest_terms(training.single(replicated))


def make_compare(sizes: tuple[int, ...], permutations: int) -> Callable[..., dict[str, jax.Array]]:
    """Returns the function that compares two representations of the same images, by batches.

    Args:
      sizes: of the batches over which MIR and HDR are averaged.
      permutations: of the images of one representation, for the chance level of MIR; 0: none.

    Returns:
      A function of two lists of chunks of features [devices, size, d] and of labels [devices, n],
      -1 for padding, to `between_mir_N` and `between_hdr_N`; incomplete batches are ignored.
    """

    def compare(before, after, labels):
        features = jnp.concatenate(before), jnp.concatenate(after)
        found: dict[str, jax.Array] = {}
        for n in sizes:
            mean = evaluation.mean_interplay(n, information.interplay, features, labels >= 0)
            found |= {f"between_mir_{n}": mean.mir, f"between_hdr_{n}": mean.hdr}
            if permutations:
                chance = evaluation.chance_mir(
                    n, information.interplay, features, labels >= 0, permutations
                )
                found |= evaluation.beside_chance(f"between_mir_{n}", mean.mir, chance)
        return found

    return training.mapped(compare)


def read_checkpoint(directory: Path, template: training.TrainState) -> training.TrainState | None:
    """Returns the newest intact state in a directory of checkpoints."""
    with contextlib.closing(training.Checkpoints(directory / "checkpoints")) as checkpoints:
        return checkpoints.restore(template)


def check_zeros(
    program: Program, directory: Path, template: training.TrainState, sparsity: float
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
        leaves = named_leaves(tree)
        left += sum(int(np.sum(x[~m] != 0)) for (_, x), m in zip(leaves, masks, strict=True))
    for (name, x), m in zip(leaves, masks, strict=True):
        masked += int(np.sum(~m))
        if program.prunable(name, x):
            weights, zeros = weights + x.size, zeros + int(np.sum(x == 0))
    if left or masked != math.floor(sparsity * weights):
        raise RuntimeError(
            f"{directory}: sparsity {sparsity} of {weights} weights, but the checkpoint holds "
            f"{masked} masked weights, {left} of them not zero"
        )
    return {"weights": weights, "zeros": zeros}
