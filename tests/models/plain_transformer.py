"""The model, the loss and AdamW of Nanda et al. 2023, written out plainly.

Every position of every example is computed, with the causal mask; only the names of the parameters
are shared with the package. `xp` is numpy or jax.numpy.
"""

import numpy as np


def transformer(xp, params, operands, num_tokens):
    """Features and logits [n, 3, ...] at all positions of `a b =`."""
    n = len(operands)
    tokens = np.concatenate([operands, np.full((n, 1), num_tokens - 1)], axis=1)
    x = params["embed"][tokens] + params["position"]
    visible = np.tril(np.ones((3, 3), bool))
    attended = xp.zeros_like(x)
    num_heads, d_head, _ = params["output"].shape
    for head in range(num_heads):
        q = x @ params["query"][:, head]
        k = x @ params["key"][:, head]
        v = x @ params["value"][:, head]
        scores = xp.where(visible, q @ xp.swapaxes(k, 1, 2) / d_head**0.5, -np.inf)
        weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        weights = weights / xp.sum(weights, axis=-1, keepdims=True)
        attended = attended + weights @ v @ params["output"][head]
    x = x + attended
    hidden = xp.maximum(x @ params["mlp_in"] + params["mlp_in_bias"], 0)
    x = x + hidden @ params["mlp_out"] + params["mlp_out_bias"]
    return x, x @ params["unembed"].T


def mean_loss(xp, params, operands, results, num_tokens):
    """Mean cross-entropy at the last position: log-sum-exp minus the logit of the result."""
    logits = transformer(xp, params, operands, num_tokens)[1][:, -1]
    top = xp.max(logits, axis=1)
    normaliser = top + xp.log(xp.sum(xp.exp(logits - top[:, None]), axis=1))
    return xp.mean(normaliser - logits[np.arange(len(results)), results])


class AdamW:
    """AdamW (Loshchilov & Hutter 2019, algorithm 2) with a linear warm-up, on dicts of arrays."""

    def __init__(self, learning_rate, warmup_steps, beta1, beta2, weight_decay, eps=1e-8):
        self.learning_rate, self.warmup_steps, self.eps = learning_rate, warmup_steps, eps
        self.beta1, self.beta2, self.weight_decay = beta1, beta2, weight_decay
        self.step, self.m, self.v = 0, {}, {}

    def update(self, params, gradients):
        rate = self.learning_rate * min(self.step / self.warmup_steps, 1)
        self.step += 1
        new = {}
        for name, theta in params.items():
            g = np.asarray(gradients[name], np.float64)
            self.m[name] = self.beta1 * self.m.get(name, 0) + (1 - self.beta1) * g
            self.v[name] = self.beta2 * self.v.get(name, 0) + (1 - self.beta2) * g**2
            m = self.m[name] / (1 - self.beta1**self.step)
            v = self.v[name] / (1 - self.beta2**self.step)
            decay = self.weight_decay * theta
            new[name] = theta - rate * (m / (np.sqrt(v) + self.eps) + decay)
        return new
