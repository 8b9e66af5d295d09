"""The training step with information losses and the measures can be lowered for GPU and TPU."""

import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.sharding import PartitionSpec as P

import infojax
from configs.cifar10 import get_config
from infojax import collapse, population, training
from launch import classification

PLATFORMS = ["cuda", "tpu"]


@pytest.fixture(scope="module")
def step():
    """The update of one of two replicas, as traced on this machine, and its arguments."""
    config = get_config("smoke")
    config.update({"mi_weight": 0.2, "id_weight": 0.3, "label_smoothing": 0.1})
    program = classification.build(config)
    state = jax.eval_shape(lambda: classification.init_state(program, config, 0))
    source = classification.make_source(program, config, 0)
    source = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], source))
    mapped = jax.shard_map(
        functools.partial(training.train_step, update=program.update),
        mesh=jax.make_mesh((2,), (training.AXIS,), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(P(), P()),
        out_specs=P(),
        check_vma=False,
    )
    return jax.jit(mapped), state, source


def _custom_calls(exported):
    """Names of the external routines that an exported program calls."""
    return set(re.findall(r"custom_call @(\w+)", exported.mlir_module()))


def _assert_eigenvalues_of_the_platform(exported, platform):
    assert exported.platforms == (platform,)
    calls = _custom_calls(exported)
    assert any({"cuda": "syevd", "tpu": "Eigh"}[platform] in call for call in calls), calls
    assert not any("lapack" in call for call in calls), calls


@pytest.mark.parametrize("platform", PLATFORMS)
def test_train_step(step, platform):
    mapped, state, source = step
    exported = export.export(mapped, platforms=[platform])(state, source)
    assert exported.nr_devices == 2
    shapes = [(x.shape, x.dtype) for x in jax.tree.leaves(state)]
    assert [(x.shape, x.dtype) for x in exported.out_avals] == shapes
    assert {"all_gather", "all_reduce"} <= set(
        re.findall(r"stablehlo\.(all_\w+)", exported.mlir_module())
    )
    _assert_eigenvalues_of_the_platform(exported, platform)


def _measures(z, y, w):
    statistics = population.Statistics.zeros(*w.shape).update(z, y)
    return (
        infojax.sample_interplay(z, y, w),
        population.interplay(statistics, w).joint_entropy,
        population.class_interplay(statistics, w),
        collapse.neural_collapse(statistics, w),
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_measures(platform):
    """Values without derivatives use a different eigenvalue routine on CPU."""
    shapes = [((64, 8), jnp.float32), ((64,), jnp.int32), ((4, 8), jnp.float32)]
    arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    exported = export.export(jax.jit(_measures), platforms=[platform])(*arguments)
    _assert_eigenvalues_of_the_platform(exported, platform)
