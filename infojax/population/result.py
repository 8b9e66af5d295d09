"""The interplay of a whole data set, with standard errors that follow from the joint entropy's."""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp

from infojax.matrices import Interplay
from infojax.population.quadrature import Estimate

Route = Literal["gram", "moments", "closed form", "lanczos"]


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[*Interplay._fields, "standard_error", "probes"],
    meta_fields=["route"],
)
@dataclasses.dataclass(frozen=True)
class PopulationInterplay:
    """The fields of `infojax.Interplay` with standard errors and the route; a pytree.

    Attributes:
      entropy_z: H(G(Z)), nats; float [], like all numbers here.
      entropy_v: H(G(V)), nats.
      joint_entropy: H(G(Z) ∘ G(V)), nats.
      mutual_information: nats.
      mir: matrix mutual information ratio.
      hdr: entropy difference ratio.
      standard_error: an `Interplay` of the standard errors of these fields; 0 where exact.
      probes: number of random vectors used for the joint entropy, int32 []; 0 where exact.
      route: how the joint entropy was computed: "gram" (dense eigenvalues, n x n), "moments"
        (dense eigenvalues, d r x d r), "closed form" (order 2), "lanczos" (estimated).
    """

    entropy_z: jax.Array
    entropy_v: jax.Array
    joint_entropy: jax.Array
    mutual_information: jax.Array
    mir: jax.Array
    hdr: jax.Array
    standard_error: Interplay
    probes: jax.Array
    route: Route


def with_errors(value: Interplay, joint: Estimate, route: Route) -> PopulationInterplay:
    """Propagates the error of the joint entropy to the fields computed from it."""
    error = joint.error
    zero = jnp.zeros_like(error)
    denominator = jnp.minimum(value.entropy_z, value.entropy_v)
    of_mir = jnp.where(value.mir == 0, 0, error / jnp.where(value.mir == 0, 1, denominator))
    errors = Interplay(zero, zero, error, error, of_mir, zero)
    return PopulationInterplay(*value, errors, joint.probes, route)
