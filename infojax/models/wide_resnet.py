"""Wide residual networks as in TorchSSL and USB."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

_SLOPE = 0.1  # of LeakyReLU
_EPSILON = 1e-3  # of batch normalisation
_CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class WideResNet(nn.Module):
    """WideResNet-depth-width with pre-activation blocks.

    The features are the average over pixels of the last normalised activations.

    Attributes:
      num_classes: number of classes C.
      depth: 6 n + 4 for n blocks per group (28: four blocks).
      width: factor of the groups' channels: 16, 32, 64 (and 128) times width.
      num_groups: groups of blocks, each but the first at half the resolution of the previous one;
        3, or 4 for images of 96 x 96.
      first_stride: stride of the first group; 2 for images of 96 x 96, or for speed.
      decay: decay of the running average of BatchNorm's statistics.
      axis_name: device axis over which BatchNorm computes the statistics of the whole batch.
      dtype: dtype of the computation; parameters and statistics are float32, outputs at least
        float32.
    """

    num_classes: int
    depth: int = 28
    width: int = 2
    num_groups: int = 3
    first_stride: int = 1
    decay: float = 0.999
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        """Returns features and logits.

        Args:
          images: standardised, float [n, h, w, channels].
          train: whether BatchNorm uses the batch's statistics and updates the running ones in the
            collection `batch_stats`.

        Returns:
          Features float32 [n, d], d = 16 · 2^(num_groups - 1) · width; logits float32 [n, C].
        """
        conv = functools.partial(
            nn.Conv, kernel_size=(3, 3), use_bias=False, kernel_init=_CONV_INIT, dtype=self.dtype
        )
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=self.decay,
            epsilon=_EPSILON,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        x = conv(16, name="stem")(images.astype(self.dtype))
        for group in range(self.num_groups):
            for block in range((self.depth - 4) // 6):
                first = group == block == 0
                stride = (self.first_stride if first else 2) if block == 0 else 1
                channels = 16 * 2**group * self.width
                name = f"group{group}_block{block}"
                x = _Block(conv, norm, channels, stride, first, name=name)(x)
        x = nn.leaky_relu(norm(name="norm")(x), _SLOPE)
        features = jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), (1, 2))
        head = nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_normal(), name="head")
        return features, head(features)


class _Block(nn.Module):
    """Two convolutions and a shortcut; the network's first block activates both inputs."""

    conv: Any
    norm: Any
    channels: int
    stride: int
    activate_shortcut: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        y = nn.leaky_relu(self.norm(name="norm1")(x), _SLOPE)
        shortcut = y if self.activate_shortcut else x
        y = self.conv(self.channels, strides=strides, name="conv1")(y)
        y = nn.leaky_relu(self.norm(name="norm2")(y), _SLOPE)
        y = self.conv(self.channels, name="conv2")(y)
        if shortcut.shape != y.shape:
            shortcut = self.conv(
                self.channels, kernel_size=(1, 1), strides=strides, name="shortcut"
            )(shortcut)
        total: jax.Array = shortcut + y
        return total


def head_of(params: Any) -> tuple[jax.Array, jax.Array]:
    """Returns head rows w [C, d] and biases b [C] from a network's parameters."""
    return params["head"]["kernel"].T, params["head"]["bias"]
