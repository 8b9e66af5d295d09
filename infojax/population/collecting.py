"""Adding samples to sums, and sums to each other."""

import dataclasses
from typing import TypeVar

import jax
import jax.numpy as jnp

from infojax import _checks, moments
from infojax.population import compensated, scales, slots
from infojax.population.sums import Sums

S = TypeVar("S", bound=Sums)


@jax.jit
def add(sums: S, z: jax.Array, y: jax.Array, mask: jax.Array) -> S:
    """Adds features [n, d] with labels [n], where the mask [n] is True."""
    z, c = z.astype(sums.sum_pairs.dtype), sums.num_classes
    counted = mask & (y >= 0) & (y < c)
    valid = jnp.all(counted == mask)
    y = jnp.where(counted, y.astype(jnp.int32), c)
    if not sums.is_dense:
        classes, fit = slots.insert(sums.classes, y, c)
        sums, valid = dataclasses.replace(sums, classes=classes), valid & fit
        y = slots.slot_of(classes, y, c)
    largest = scales.scale_of(jnp.where(counted[:, None], z, 0))
    return _poisoned(_add_by_class(_rescaled(sums, largest), z, y), valid)


def _add_by_class(sums: S, z: jax.Array, y: jax.Array) -> S:
    """Adds features [n, d] with slots y [n], m for samples to leave out."""
    n, m = y.shape[0], sums.counts.shape[0]
    new = jnp.bincount(y, length=m + 1)[:m].astype(jnp.int32)
    start = jnp.cumsum(new) - new
    size = compensated.block_size(n, m)
    # Under shard_map, loops require that this zero varies over the axes of all arguments.
    anchor = (z[0, 0] == 0) & (y[0] == 0) & (sums.counts[0] == 0) & (sums.scale == 0)
    zero = jnp.where(anchor, 0, 0).astype(z.dtype)
    order = jnp.pad(moments.sorted_order(y, m), (0, size), constant_values=n)
    scale = sums.scale

    def add_class(
        scatter: jax.Array, of_class: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        count, moment, reference, total, start, new = of_class

        def add_block(i: jax.Array, carry: compensated.ClassSums) -> compensated.ClassSums:
            rows = jax.lax.dynamic_slice(order, (start + i * size,), (size,))
            rows = jnp.where(jnp.arange(size, dtype=new.dtype) < new - i * size, rows, n)
            block = z.at[rows].get(mode="fill", fill_value=0)
            return compensated.add_block(carry, block, rows < n, scale)

        by_class = zero + moment, zero + reference, zero + total
        before = compensated.ClassSums(zero + count.astype(z.dtype), *by_class, scatter)
        after = jax.lax.fori_loop(0, -(-new // size), add_block, before)
        return after.scatter, (count + new, after.moment, after.reference, after.total)

    by_class = sums.counts, sums.moment_pairs, sums.references, sums.sum_pairs, start, new
    scatter, found = jax.lax.scan(add_class, zero + jnp.zeros_like(sums.scatter_pair[0]), by_class)
    counts, moment_pairs, references, sum_pairs = found
    return dataclasses.replace(
        sums,
        counts=counts,
        moment_pairs=moment_pairs,
        references=references,
        sum_pairs=sum_pairs,
        scatter_pair=compensated.add(sums.scatter_pair, scatter),
    )


@jax.jit
def merge(a: S, b: S) -> S:
    """Adds two sums; the result has as many slots as the one with more."""
    if a.classes.shape[0] < b.classes.shape[0]:
        a, b = b, a
    fit = jnp.bool(True)
    if not a.is_dense:
        classes, fit = slots.insert(a.classes, b.classes, a.num_classes)
        a = dataclasses.replace(a, classes=classes)
    if not b.is_dense:
        b = _placed(b, a.classes)
    a, b = _rescaled(a, b.scale), _rescaled(b, a.scale)
    references = jnp.where((a.counts > 0)[:, None], a.references, b.references)
    a, b = _shifted(a, references), _shifted(b, references)
    n, k = a.counts.astype(a.scale.dtype), b.counts.astype(a.scale.dtype)
    between = a.means_about_references() - b.means_about_references()
    merge_classes = jax.vmap(compensated.merge)
    scatter = compensated.merge(a.scatter_pair, b.scatter_pair)
    between = compensated.weighted_outer(between, n * k / jnp.maximum(n + k, 1))
    merged = dataclasses.replace(
        a,
        counts=a.counts + b.counts,
        moment_pairs=merge_classes(a.moment_pairs, b.moment_pairs),
        sum_pairs=merge_classes(a.sum_pairs, b.sum_pairs),
        scatter_pair=compensated.add(scatter, between),
    )
    return _poisoned(merged, fit)


def psum(sums: S, axis_name: str | tuple[str, ...]) -> S:
    """Adds the sums of all devices."""
    fit, classes = jnp.bool(True), jnp.arange(sums.num_classes, dtype=jnp.int32)
    if not sums.is_dense:
        classes, fit = _classes_of_all(sums, axis_name)
        sums = _placed(sums, classes)
    sums = _rescaled(sums, jax.lax.pmax(sums.scale, axis_name))
    here = sums.counts > 0
    references = jax.lax.psum(jnp.where(here[:, None], sums.references, 0), axis_name)
    devices = jnp.maximum(jax.lax.psum(here.astype(jnp.int32), axis_name), 1)
    references = references / devices.astype(references.dtype)[:, None]
    sums = _shifted(sums, references)
    added = jax.lax.psum(
        (sums.counts, sums.moment_pairs, sums.sum_pairs, sums.scatter_pair), axis_name
    )
    counts, moment_pairs, sum_pairs, scatter_pair = added
    total = dataclasses.replace(
        sums,
        classes=classes,
        counts=counts,
        moment_pairs=moment_pairs,
        references=references,
        sum_pairs=sum_pairs,
        scale=jax.lax.pmax(sums.scale, axis_name),
    )
    shift = sums.means_about_references() - total.means_about_references()
    between = jax.lax.psum(compensated.weighted_outer(shift, sums.counts), axis_name)
    scatter_pair = scatter_pair.at[1].add(between)
    return _poisoned(dataclasses.replace(total, scatter_pair=scatter_pair), fit)


def _classes_of_all(sums: Sums, axis_name: str | tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
    """Classes that any device holds, and whether there are slots for all."""
    devices, m = jax.lax.psum(1, axis_name), sums.classes.shape[0]
    table = jnp.zeros((devices, m), jnp.int32).at[jax.lax.axis_index(axis_name)].set(sums.classes)
    found = jax.lax.psum(table, axis_name).reshape(-1)  # unlike all_gather's, known to be equal
    return slots.insert(jnp.full(m, sums.num_classes, jnp.int32), found, sums.num_classes)


def _placed(sums: S, classes: jax.Array) -> S:
    """Moves the sums to slots with the given classes."""
    slot = slots.slot_of(sums.classes, classes, sums.num_classes)

    def moved(x: jax.Array) -> jax.Array:
        return x.at[slot].get(mode="fill", fill_value=0)

    return dataclasses.replace(
        sums,
        classes=classes,
        counts=moved(sums.counts),
        moment_pairs=moved(sums.moment_pairs),
        references=moved(sums.references),
        sum_pairs=moved(sums.sum_pairs),
    )


def _rescaled(sums: S, scale: jax.Array) -> S:
    """Expresses sums of raw features in units of the larger scale."""
    scale = jnp.maximum(scale, sums.scale)
    ratio = sums.scale / scale
    return dataclasses.replace(
        sums,
        references=ratio * sums.references,
        sum_pairs=ratio * sums.sum_pairs,
        scatter_pair=ratio**2 * sums.scatter_pair,
        scale=scale,
    )


def _shifted(sums: S, references: jax.Array) -> S:
    """Expresses sums relative to other references [m, d]."""
    moved = sums.counts.astype(references.dtype)[:, None] * (sums.references - references)
    sum_pairs = jax.vmap(compensated.add)(sums.sum_pairs, moved)
    return dataclasses.replace(sums, references=references, sum_pairs=sum_pairs)


def _poisoned(sums: S, valid: jax.Array) -> S:
    """Makes the sums, and with them every number that follows, NaN unless valid."""
    poison = _checks.nan_unless(valid, jnp.zeros((), sums.sum_pairs.dtype))
    return dataclasses.replace(sums, sum_pairs=sums.sum_pairs + poison)
