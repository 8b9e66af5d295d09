"""The count of eigenproblems in a program."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import eigenproblems
from infojax import spectrum, squarings

X = jax.ShapeDtypeStruct((6, 4), jnp.float32)


def test_loops_branches_and_batches_are_counted():
    def program(x):
        k = x.T @ x
        step = lambda c, _: (c + jnp.sum(jnp.linalg.eigh(k)[0]), None)  # noqa: E731
        total = jax.lax.scan(step, jnp.float32(0), length=5)[0]
        batch = jnp.stack([k, k, k])
        total += jnp.sum(jax.lax.cond(total > 0, jnp.linalg.eigvalsh, lambda b: b[:, 0], batch))
        return total + jnp.linalg.svd(x)[1][0]

    found = eigenproblems.count(program, (X,))
    assert found == {("eigh", (4, 4)): 5, ("eigh", (3, 4, 4)): 1, ("svd", (6, 4)): 1}
    assert eigenproblems._listed(found) == "5 × 4, 1 × 3 of 4, 1 × SVD 6 x 4"


@pytest.mark.parametrize(("entropy", "count"), [(spectrum, 1), (squarings, 0)])
def test_gradients_of_entropy(entropy, count):
    of_rows = jax.grad(lambda x: entropy.product_entropy(x.T @ x))
    assert sum(eigenproblems.count(of_rows, (X,)).values()) == count


def test_table():
    with jax.numpy_dtype_promotion("standard"):  # optax's AdamW needs it
        records, text = eigenproblems.run(True)
    found = {record["program"]: record for record in records}
    assert found["cifar10:paper"] == {
        "program": "cifar10:paper",
        "eigenvalues": "3 × 64",
        "squarings": "",
    }
    for step in ("semisupervised:paper", "grokking with information losses"):
        assert found[step]["eigenvalues"] and not found[step]["squarings"]
    assert found["NC1 to NC4"]["eigenvalues"] == "1 × SVD 10 x 128"
    assert "| cifar10:paper" in text
