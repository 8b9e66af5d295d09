"""The grokking model of Nanda et al. 2023 in PyTorch, computed as in their code.

All three positions and all logits of every example, full batch, AdamW; the loss is the mean of
`-log_softmax` at the last position, in float64 or float32. Omits their hooks and per-epoch test
loss, which take extra time.
"""

from typing import Any

import numpy as np
import torch

_MASKED = 1e10


class Transformer(torch.nn.Module):
    """One layer: embedding, learned positions, causal attention, ReLU MLP, unembedding.

    Args:
      params: the parameters of `infojax.models.transformer.PairTransformer`, as arrays.
    """

    mask: torch.Tensor

    def __init__(self, params: dict[str, Any]):
        super().__init__()
        p = {name: np.asarray(x) for name, x in params.items()}
        d, heads, width = p["key"].shape
        own = lambda x: torch.nn.Parameter(torch.tensor(np.ascontiguousarray(x)))  # noqa: E731
        self.embed = own(p["embed"].T)  # [d, v]
        self.position = own(p["position"])  # [t, d]
        self.key = own(p["key"].transpose(1, 2, 0))  # [i, h, d]
        self.query = own(p["query"].transpose(1, 2, 0))
        self.value = own(p["value"].transpose(1, 2, 0))
        self.output = own(p["output"].reshape(heads * width, d).T)  # [d, ih]
        self.mlp_in = own(p["mlp_in"].T)  # [m, d]
        self.mlp_in_bias = own(p["mlp_in_bias"])
        self.mlp_out = own(p["mlp_out"].T)  # [d, m]
        self.mlp_out_bias = own(p["mlp_out_bias"])
        self.unembed = own(p["unembed"].T)  # [d, v]
        self.register_buffer("mask", torch.tril(torch.ones(3, 3)))
        self.scale = float(np.sqrt(width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns logits [b, 3, v] for tokens [b, 3]."""
        x = torch.einsum("dbp->bpd", self.embed[:, tokens]) + self.position
        x = x + self._attention(x)
        hidden = torch.relu(torch.einsum("md,bpd->bpm", self.mlp_in, x) + self.mlp_in_bias)
        x = x + torch.einsum("dm,bpm->bpd", self.mlp_out, hidden) + self.mlp_out_bias
        return x @ self.unembed

    def _attention(self, x: torch.Tensor) -> torch.Tensor:
        key, query, value = (
            torch.einsum("ihd,bpd->biph", w, x) for w in (self.key, self.query, self.value)
        )
        scores = torch.tril(torch.einsum("biph,biqh->biqp", key, query))
        scores = (scores - _MASKED * (1 - self.mask)) / self.scale
        attention = torch.softmax(scores, dim=-1)
        mixed = torch.einsum("biph,biqp->biqh", value, attention)
        flat = mixed.transpose(1, 2).reshape(*x.shape[:2], -1)
        return torch.einsum("df,bqf->bqd", self.output, flat)


class Trainer:
    """Full-batch training.

    Args:
      params: initial parameters, as for `Transformer`.
      examples: training examples, `infojax.data.modular.Examples`.
      config: learning rate, betas, weight decay and warm-up, as in `configs/grokking.py`.
      precise: whether to compute the loss in float64, as the reference does.
    """

    def __init__(self, params: dict[str, Any], examples: Any, config: Any, precise: bool):
        self.model = Transformer(params)
        equals = np.full((len(examples.results), 1), config.modulus)
        tokens = np.concatenate([examples.operands, equals], axis=1)
        self.tokens = torch.tensor(tokens, dtype=torch.long)
        self.labels = torch.tensor(examples.results, dtype=torch.long)
        self.dtype = torch.float64 if precise else torch.float32
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(step / config.warmup_steps, 1)
        )

    def step(self) -> float:
        """Makes one update and returns the loss before it."""
        logits = self.model(self.tokens)[:, -1]
        log_probabilities = torch.log_softmax(logits.to(self.dtype), dim=-1)
        loss = -log_probabilities.gather(-1, self.labels[:, None]).mean()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return loss.item()
