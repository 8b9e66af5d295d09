"""Wide residual networks as in the code of FixMatch, TorchSSL and USB."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

_SLOPE = 0.1  # of LeakyReLU
_EPSILON = 1e-3  # of the BatchNorm after the blocks
_CONV_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class _Form(NamedTuple):
    """How the implementations differ.

    Attributes:
      raw: whether conv1 receives the block's input where that has other channels than the output,
        as in the first block of every group but the first; elsewhere, the activated input.
      padding: of 3 x 3 convolutions; "SAME" pads those of stride 2 by (0, 1).
      epsilon: of BatchNorm in blocks.
      biases: whether convolutions have biases: in the stem, in blocks.
    """

    raw: bool
    padding: str | int
    epsilon: float
    biases: tuple[bool, bool]


FORMS = {
    "tensorflow": _Form(raw=False, padding="SAME", epsilon=1e-3, biases=(False, False)),
    "usb": _Form(raw=True, padding=1, epsilon=1e-5, biases=(True, False)),
    "torchssl": _Form(raw=True, padding=1, epsilon=1e-3, biases=(True, True)),
}


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
      form: whose implementation, a key of `FORMS`: "tensorflow" is Google's of FixMatch, the others
        are those of TorchSSL and USB in PyTorch. With the same weights, the logits differ by 20 %.
    """

    num_classes: int
    depth: int = 28
    width: int = 2
    num_groups: int = 3
    first_stride: int = 1
    decay: float = 0.999
    axis_name: str | None = None
    dtype: Any = jnp.float32
    form: str = "tensorflow"

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
        form = FORMS[self.form]
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=self.decay,
            axis_name=self.axis_name,
            dtype=self.dtype,
        )
        layers = _Layers(
            functools.partial(_conv, form, self.dtype),
            functools.partial(norm, epsilon=form.epsilon),
        )
        x = layers.conv(images.astype(self.dtype), 16, "stem")
        for group in range(self.num_groups):
            for block in range((self.depth - 4) // 6):
                first = group == block == 0
                stride = (self.first_stride if first else 2) if block == 0 else 1
                channels = 16 * 2**group * self.width
                name = f"group{group}_block{block}"
                x = _Block(layers, form, channels, stride, first, name=name)(x)
        x = nn.leaky_relu(norm(epsilon=_EPSILON, name="norm")(x), _SLOPE)
        features = jnp.mean(x.astype(jnp.promote_types(x.dtype, jnp.float32)), (1, 2))
        head = nn.Dense(self.num_classes, kernel_init=nn.initializers.glorot_normal(), name="head")
        return features, head(features)


class _Layers(NamedTuple):
    """How blocks make their layers."""

    conv: Callable[..., jax.Array]
    norm: Callable[..., nn.BatchNorm]


class _Block(nn.Module):
    """Two convolutions and a shortcut, which the network's first block activates too."""

    layers: _Layers
    form: _Form
    channels: int
    stride: int
    first: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv, norm = self.layers
        projected = self.stride > 1 or x.shape[-1] != self.channels
        activated = nn.leaky_relu(norm(name="norm1")(x), _SLOPE)
        shortcut = activated if self.first and (projected or not self.form.raw) else x
        y = x if self.form.raw and projected and not self.first else activated
        y = conv(y, self.channels, "conv1", stride=self.stride)
        y = nn.leaky_relu(norm(name="norm2")(y), _SLOPE)
        y = conv(y, self.channels, "conv2")
        if projected:
            shortcut = conv(shortcut, self.channels, "shortcut", size=1, stride=self.stride)
        return shortcut + y


def _conv(
    form: _Form, dtype: Any, x: jax.Array, channels: int, name: str, size: int = 3, stride: int = 1
) -> jax.Array:
    """A convolution; biases are drawn as PyTorch draws them."""
    bound = 1 / math.sqrt(size * size * x.shape[-1])
    convolved: jax.Array = nn.Conv(
        channels,
        (size, size),
        strides=(stride, stride),
        padding=form.padding if size > 1 else 0,
        use_bias=form.biases[name != "stem"],
        kernel_init=_CONV_INIT,
        bias_init=lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound),
        dtype=dtype,
        name=name,
    )(x)
    return convolved
