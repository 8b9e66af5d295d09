"""Models in flax linen: each returns its features first and its logits second."""
