"""The sums that statistics of a data set consist of, and what follows from them directly."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums over samples by class, see `infojax.population.Statistics`, whose fields these are."""

    classes: jax.Array
    counts: jax.Array
    moment_pairs: jax.Array
    references: jax.Array
    sum_pairs: jax.Array
    scatter_pair: jax.Array
    scale: jax.Array
    num_classes: int

    @property
    def is_dense(self) -> bool:
        """Whether every class has a slot, and slot c holds class c."""
        return self.classes.shape[0] == self.num_classes

    @property
    def moments(self) -> jax.Array:
        """Second moments of the normalised features per class, A_c [m, d, d]."""
        return self.moment_pairs[:, 0] + self.moment_pairs[:, 1]

    @property
    def means(self) -> jax.Array:
        """Means of the raw features per class [m, d]; zero for a class without samples."""
        return self.scale * self.means_about(jnp.zeros_like(self.references[0]))

    @property
    def sums(self) -> jax.Array:
        """Sums of the raw features per class [m, d]."""
        return self.scale * (
            self.counts.astype(self.scale.dtype)[:, None] * self.references
            + (self.sum_pairs[:, 0] + self.sum_pairs[:, 1])
        )

    @property
    def mean(self) -> jax.Array:
        """Mean of all raw features [d]; zero without samples."""
        centre = self.centre
        return self.scale * (centre + self._mean_of(self.means_about(centre)))

    @property
    def centred_means(self) -> jax.Array:
        """Means of the raw features per class minus the mean of all [m, d].

        Zero for a class without samples; all zero if every one is zero up to rounding.
        """
        return self.scale * self.scaled_centred_means

    @property
    def scatter(self) -> jax.Array:
        """Scatter of the raw features about their class means, summed over samples [d, d]."""
        return self.scale**2 * self.scaled_scatter

    @property
    def scaled_scatter(self) -> jax.Array:
        """`scatter` in units of `scale²`, which cannot overflow."""
        return self.scatter_pair[0] + self.scatter_pair[1]

    @property
    def centre(self) -> jax.Array:
        """A point amid the class means, in units of `scale` [d]."""
        present = self.counts > 0
        total = jnp.sum(jnp.where(present[:, None], self.references, 0), 0)
        return total / jnp.maximum(jnp.sum(present), 1).astype(total.dtype)

    def means_about(self, centre: jax.Array) -> jax.Array:
        """Class means minus a point near them, both in units of `scale` [m, d].

        The large numbers are subtracted first, which is exact. Zero for a class without samples.
        """
        means = (self.references - centre[None]) + self.means_about_references()
        return jnp.where((self.counts > 0)[:, None], means, 0)

    def means_about_references(self) -> jax.Array:
        """Class means minus their references, in units of `scale` [m, d]."""
        totals = self.sum_pairs[:, 0] + self.sum_pairs[:, 1]
        return totals / jnp.maximum(self.counts, 1).astype(totals.dtype)[:, None]

    @property
    def scaled_centred_means(self) -> jax.Array:
        """`centred_means` in units of `scale`."""
        means = self.means_about(self.centre)
        centred = means - self._mean_of(means)[None]
        centred = jnp.where((self.counts > 0)[:, None], centred, 0)
        spread = jnp.sqrt(jnp.max(jnp.diagonal(self.scaled_scatter)) / self._total)
        rounding = 8 * np.finfo(centred.dtype).eps * jnp.maximum(jnp.max(jnp.abs(means)), spread)
        return jnp.where(jnp.max(jnp.abs(centred)) <= rounding, 0, centred)

    def rows_of(self, w: jax.Array) -> jax.Array:
        """Rows [m, d] of w [C, d] for the class of each slot; zero for an empty slot."""
        return w if self.is_dense else w.at[self.classes].get(mode="fill", fill_value=0)

    @property
    def _total(self) -> jax.Array:
        return jnp.maximum(jnp.sum(self.counts), 1).astype(self.scale.dtype)

    def _mean_of(self, of_class: jax.Array) -> jax.Array:
        return jnp.sum(self.counts.astype(of_class.dtype)[:, None] * of_class, 0) / self._total
