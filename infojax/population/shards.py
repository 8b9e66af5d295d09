"""Sums over samples that are sharded over an explicit mesh, each added where it is."""

import functools
from typing import TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec

from infojax._meshes import entered_mesh
from infojax.population import collecting
from infojax.population.sums import Sums

S = TypeVar("S", bound=Sums)


def sample_axes(z: jax.Array) -> tuple[str, ...]:
    """Axes of an explicit mesh over which the rows of z [n, d] are sharded."""
    sharding = jax.typeof(z).sharding
    if sharding.mesh.empty or AxisType.Explicit not in sharding.mesh.axis_types:
        return ()
    names = sharding.spec[0] or ()
    return (names,) if isinstance(names, str) else tuple(names)


def collect(empty: S, z: jax.Array, y: jax.Array, mask: jax.Array) -> S:
    """Adds features [n, d] with labels [n] to empty sums, without gathering the features.

    Args:
      empty: sums of no samples.
      z: features, sharded over `sample_axes`.
      y: labels, sharded in whatever way.
      mask: samples to add, sharded in whatever way.

    Returns:
      The sums, replicated over the mesh.
    """
    axes = sample_axes(z)
    with entered_mesh(z):
        collected: S = _collect(empty, z, y, mask, axes)
    return collected


@functools.partial(jax.jit, static_argnames="axes")
def _collect(empty: S, z: jax.Array, y: jax.Array, mask: jax.Array, axes: tuple[str, ...]) -> S:
    def of_device(empty: S, z: jax.Array, y: jax.Array, mask: jax.Array) -> S:
        own: S = collecting.add(empty, z, y, mask)
        return collecting.psum(own, axes)

    samples = PartitionSpec(axes)
    z, y, mask = (jax.sharding.reshard(x, samples) for x in (z, y, mask))
    specs = PartitionSpec(), samples, samples, samples
    mapped = jax.shard_map(of_device, in_specs=specs, out_specs=PartitionSpec())
    collected: S = mapped(empty, z, y, mask)
    return collected
