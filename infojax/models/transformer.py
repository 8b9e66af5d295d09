"""One-layer ReLU transformer for pairs of tokens, read at the last position."""

import jax
import jax.numpy as jnp
from flax import linen as nn


class PairTransformer(nn.Module):
    """The transformer of Nanda et al. 2023 on inputs `a b =`.

    Learned positions, causal attention, ReLU MLP with biases, no layer norm, untied unembedding.
    Only the last position is read, and its token is always "=". So one query serves all examples,
    and nothing is computed at the other positions. A key or value depends only on its token and
    position, so two tables over the tokens hold all of them. The outputs equal those of the plain
    transformer.

    Attributes:
      num_tokens: vocabulary size; the last token is "=".
      d_model: width of the residual stream.
      num_heads: attention heads, a divisor of d_model.
      d_mlp: width of the MLP.
    """

    num_tokens: int
    d_model: int = 128
    num_heads: int = 4
    d_mlp: int = 512

    @nn.compact
    def __call__(self, operands: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns features (the final residual stream) and logits at the last position.

        Args:
          operands: tokens a and b, integer [n, 2].

        Returns:
          Features float32 [n, d_model], logits float32 [n, num_tokens].
        """
        d, h = self.d_model, self.num_heads
        normal = nn.initializers.normal(d**-0.5)
        embed_VxD = self.param("embed", normal, (self.num_tokens, d))
        position_TxD = self.param("position", normal, (3, d))
        query_DxHxK = self.param("query", normal, (d, h, d // h))
        key_DxHxK = self.param("key", normal, (d, h, d // h))
        value_DxHxK = self.param("value", normal, (d, h, d // h))
        output_HxKxD = self.param("output", normal, (h, d // h, d))

        first_VxD = embed_VxD + position_TxD[0][None]
        second_VxD = embed_VxD + position_TxD[1][None]
        last_D = embed_VxD[-1] + position_TxD[2]
        query_HxK = jnp.einsum("d,dhk->hk", last_D, query_DxHxK)
        score_DxH = jnp.einsum("dhk,hk->dh", key_DxHxK, query_HxK) * (d // h) ** -0.5

        a_N, b_N = operands[:, 0], operands[:, 1]
        scores_NxH = (first_VxD @ score_DxH)[a_N], (second_VxD @ score_DxH)[b_N]
        last_H = jnp.broadcast_to(last_D @ score_DxH, scores_NxH[0].shape)
        weights_3xNxHx1 = nn.softmax(jnp.stack([*scores_NxH, last_H]), axis=0)[..., None]
        attended_NxHxK = (
            weights_3xNxHx1[0] * jnp.einsum("vd,dhk->vhk", first_VxD, value_DxHxK)[a_N]
            + weights_3xNxHx1[1] * jnp.einsum("vd,dhk->vhk", second_VxD, value_DxHxK)[b_N]
            + weights_3xNxHx1[2] * jnp.einsum("d,dhk->hk", last_D, value_DxHxK)[None]
        )
        residual_NxD = last_D[None] + jnp.einsum("nhk,hkd->nd", attended_NxHxK, output_HxKxD)

        zeros = nn.initializers.zeros
        mlp_in_DxM = self.param("mlp_in", normal, (d, self.d_mlp))
        mlp_in_bias_M = self.param("mlp_in_bias", zeros, (self.d_mlp,))
        mlp_out_MxD = self.param("mlp_out", normal, (self.d_mlp, d))
        mlp_out_bias_D = self.param("mlp_out_bias", zeros, (d,))
        # This orientation of the products is a sixth faster in XLA on the CPU.
        hidden_MxN = nn.relu(mlp_in_DxM.T @ residual_NxD.T + mlp_in_bias_M[:, None])
        features_NxD = residual_NxD + hidden_MxN.T @ mlp_out_MxD + mlp_out_bias_D[None]

        unembed_normal = nn.initializers.normal(self.num_tokens**-0.5)
        unembed_VxD = self.param("unembed", unembed_normal, (self.num_tokens, d))
        return features_NxD, features_NxD @ unembed_VxD.T
