"""Part 3: the train step of a WideResNet, its share of the peak, and PyTorch's."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator import network, profile, results, torch_side
from benchmarks.accelerator.context import Context, Measurement
from benchmarks.accelerator.recipes import PAPER, SMALL, STEP, Recipe
from benchmarks.accelerator.timing import median_seconds, timed
from infojax import losses, training

_WEIGHT = 0.1  # of both information losses
_LARGE = 512
# XLA and cuDNN round the factors of float32 products to TF32 by default; "float32" does not.
_PRECISIONS = {"tf32": None, "bfloat16": None, "float32": "float32"}
_MODES = {"tf32": ("reduce-overhead",), "bfloat16": ("reduce-overhead", "default")}


class Sizes(NamedTuple):
    """What is measured.

    Attributes:
      recipe: of the step.
      side: of the images.
      steps: updates in one dispatch.
      product: rows of the matrices that show the peak.
    """

    recipe: Recipe
    side: int
    steps: int
    product: int


_FULL = Sizes(STEP, 32, 50, 8192)
_TINY = Sizes(SMALL._replace(crop_padding=0, ema_decay=None), 8, 2, 128)


def measurements(context: Context) -> Iterator[Measurement]:
    """Peaks, then steps in the order of worth, PyTorch's among them, then the profile."""
    sizes = _TINY if context.small else _FULL
    for precision in _PRECISIONS:
        run = functools.partial(_peak, precision, sizes.product)
        yield Measurement(f"peak, {precision}", run, 5.0)
    for informed in (True,) if context.small else (False, True):
        yield _measured(sizes, context, "bfloat16", informed)
    yield from _torch_measurements(sizes, "bfloat16", context)
    yield _measured(sizes, context, "tf32", False)
    yield from _torch_measurements(sizes, "tf32", context)
    yield Measurement("profile", functools.partial(_profile, sizes, context), 40.0)
    if not context.small:
        yield from _further(sizes, context)


def _further(sizes: Sizes, context: Context) -> Iterator[Measurement]:
    """The same programs at other settings: large, exact, in the loop of launch, as trained."""
    yield _measured(sizes, context, "tf32", True)
    large = sizes._replace(recipe=sizes.recipe._replace(batch_size=_LARGE))
    yield _measured(large, context, "bfloat16", False)
    yield _measured(large, context, "bfloat16", True)
    yield from _torch_measurements(large, "bfloat16", context)
    yield Measurement("while loop, bfloat16", functools.partial(_while_loop, sizes), 40.0)
    run = functools.partial(_whole, sizes)
    yield Measurement("with augmentation and averages, bfloat16", run, 40.0)
    yield _measured(sizes, context, "float32", False)


def _measured(sizes: Sizes, context: Context, precision: str, informed: bool) -> Measurement:
    name = f"infojax, {precision}, batch {sizes.recipe.batch_size}"
    run = functools.partial(_infojax, sizes, context, precision, informed)
    return Measurement(f"{name}, information losses" if informed else name, run, 40.0)


def _torch_measurements(sizes: Sizes, precision: str, context: Context) -> Iterator[Measurement]:
    if not torch_side.installed():
        return
    for mode in _MODES[precision]:
        options = {"backend": "aot_eager"} if context.small else {"mode": mode}
        how = torch_side.Compiled(precision, options)
        name = f"torch, {precision}, batch {sizes.recipe.batch_size}, {mode}"
        yield Measurement(name, functools.partial(_torch, sizes, how), 40.0)


def _peak(precision: str, n: int) -> dict[str, Any]:
    """Operations a second of a product of square matrices, the practical peak of the device."""
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    x = jax.random.normal(jax.random.key(0), (n, n), dtype)
    run = jax.jit(functools.partial(jnp.matmul, precision=_PRECISIONS[precision]))
    seconds = median_seconds(lambda: run(x, x), jax.block_until_ready)
    return {"precision": precision, "n": n, "flops": 2 * n**3 / seconds}


@contextlib.contextmanager
def _precision(name: str) -> Iterator[str]:
    """Context of a precision; the dtype that the network computes in."""
    with jax.default_matmul_precision(_PRECISIONS[name]):
        yield "bfloat16" if name == "bfloat16" else "float32"


def _infojax(sizes: Sizes, context: Context, precision: str, informed: bool) -> dict[str, Any]:
    weight = _WEIGHT if informed else 0.0
    with _precision(precision) as dtype:
        recipe = sizes.recipe._replace(dtype=dtype, mi_weight=weight, id_weight=weight)
        fields = _step(recipe, sizes)
        if precision == "tf32" and not informed:
            fields["first_loss"] = _first_loss(recipe, sizes)
    operations = _operations(recipe, sizes)
    peak = results.measured(context.out, "step").get(f"peak, {precision}", {}).get("flops")
    share = operations / (peak * fields["seconds"]) if operations and peak else None
    about = {"contender": "infojax", "precision": precision, "information": informed}
    return about | fields | {"operations": operations, "share_of_peak": share}


def _whole(sizes: Sizes) -> dict[str, Any]:
    """The step of part 6: augmented images, a moving average of the parameters."""
    fields = _step(PAPER._replace(dtype="bfloat16"), sizes)
    return {"contender": "infojax", "precision": "bfloat16", "information": False, **fields}


def _step(recipe: Recipe, sizes: Sizes) -> dict[str, Any]:
    """Seconds of an update within a dispatch of many."""
    data = network.random_images(recipe.batch_size, sizes.side)
    program = network.build(recipe, data)
    source = network.make_source(data, 0)
    state = training.replicate(network.init_state(program, data, 0))
    lowered = network.make_advance(program, sizes.steps, sizes.steps).lower(state, source)
    compiling, advance = timed(lowered.compile)

    def run():
        nonlocal state
        state, records = advance(state, source)
        return records

    seconds = median_seconds(run, jax.block_until_ready) / sizes.steps
    return _fields(seconds, recipe.batch_size) | {"compile_seconds": compiling}


def _while_loop(sizes: Sizes) -> dict[str, Any]:
    """The loop of `launch`, which the host looks after every step: any number of steps."""
    recipe = sizes.recipe._replace(dtype="bfloat16")
    data = network.random_images(recipe.batch_size, sizes.side)
    program = network.build(recipe, data)
    source = network.make_source(data, 0)
    state = training.replicate(network.init_state(program, data, 0))
    advance = training.make_train_step(program.update)

    def run():
        nonlocal state
        state = advance(state, source, sizes.steps)
        return state.loss

    seconds = median_seconds(run, jax.block_until_ready) / sizes.steps
    fields = _fields(seconds, recipe.batch_size)
    return {"contender": "infojax", "precision": "bfloat16", "information": False, **fields}


def _fields(seconds: float, batch: int) -> dict[str, Any]:
    return {"batch": batch, "seconds": seconds, "images_a_second": batch / seconds}


def _first_loss(recipe: Recipe, sizes: Sizes) -> float:
    """Cross-entropy of the batch before training, batch statistics as in training."""
    data = network.random_images(recipe.batch_size, sizes.side)
    program = network.build(recipe, data)
    start = network.init_state(program, data, 0)

    def loss(params, state, x, y):
        logits = program.model.apply(params, state, network.standardise(data, x), True)[1]
        return jnp.mean(losses.cross_entropy(logits, y))

    mapped = jax.jit(jax.vmap(loss, (None, None, 0, 0), axis_name=training.AXIS))
    x, y = (jnp.asarray(array)[None] for array in data.train)
    return float(mapped(start.params, start.model_state, x, y)[0])


def _operations(recipe: Recipe, sizes: Sizes) -> float | None:
    """Operations of an update's network, forward and backward, as XLA counts them.

    On the CPU, since jax counts those of a program that is not compiled nowhere else; None if jax
    was told to do without it.
    """
    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError:
        return None
    with jax.default_device(cpu):
        data = network.random_images(recipe.batch_size, sizes.side)
        program = network.build(recipe._replace(mi_weight=0.0, id_weight=0.0), data)
        x, y = (jnp.asarray(array)[None] for array in data.train)
        params, state = jax.eval_shape(program.model.init, jax.random.key(0), x[0])

        def loss(params, state, x, y):
            logits = program.model.apply(params, state, network.standardise(data, x), True)[1]
            return jnp.mean(losses.cross_entropy(logits, y))

        mapped = jax.vmap(jax.grad(loss), (None, None, 0, 0), axis_name=training.AXIS)
        counted: Any = jax.jit(mapped).lower(params, state, x, y).cost_analysis()
    return float(counted["flops"]) if counted else None


def _torch(sizes: Sizes, how: torch_side.Compiled) -> dict[str, Any]:
    recipe = sizes.recipe
    data = network.random_images(recipe.batch_size, sizes.side)
    program = network.build(recipe, data)
    params = jax.tree.map(np.asarray, network.init_state(program, data, 0).params)
    images = np.asarray(network.standardise(data, jnp.asarray(data.train.images)))
    arrays = images, data.train.labels
    step = torch_side.wide_resnet_step(params, (recipe.depth - 4) // 6, *arrays, how)
    compiling, first = timed(lambda: float(step().detach()))
    seconds = median_seconds(step, torch_side.wait, torch_side.WARM_UP)
    about = {"contender": "torch", "precision": how.precision, "information": False}
    fields = {"compile_seconds": compiling, "first_loss": first}
    return about | _fields(seconds, recipe.batch_size) | fields


def _profile(sizes: Sizes, context: Context) -> dict[str, Any]:
    """Profiles one dispatch with information losses; what is most expensive."""
    recipe = sizes.recipe._replace(dtype="bfloat16", mi_weight=_WEIGHT, id_weight=_WEIGHT)
    data = network.random_images(recipe.batch_size, sizes.side)
    program = network.build(recipe, data)
    source = network.make_source(data, 0)
    state = training.replicate(network.init_state(program, data, 0))
    advance = network.make_advance(program, sizes.steps, sizes.steps)
    state, _ = jax.block_until_ready(advance(state, source))
    directory = context.out / "profile"
    with jax.profiler.trace(str(directory)):
        seconds, _ = timed(lambda: jax.block_until_ready(advance(state, source)))
    found = profile.summary(directory)
    return {"seconds": seconds, "steps": sizes.steps, "directory": "profile", **found}
