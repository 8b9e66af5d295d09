"""The same work in PyTorch on the same card: metrics, the WideResNet's step, eigenvalues.

Everything that needs torch is here; it is imported inside, since a machine may lack it.
"""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.problems import Problem

WARM_UP = 4  # calls in which torch.compile compiles and records CUDA graphs


class Compiled(NamedTuple):
    """How the network is compiled: a precision of `PRECISIONS` and arguments of torch.compile."""

    precision: str
    options: dict[str, Any]


def installed() -> bool:
    """Whether torch is there."""
    return importlib.util.find_spec("torch") is not None


def device() -> str:
    """The card if jax uses one, else the CPU.

    Raises:
      RuntimeError: jax uses a card that PyTorch does not.
    """
    import jax
    import torch

    if jax.default_backend() == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch does not see the card: install its CUDA build")
    return "cuda"


def wait(_: Any) -> None:
    """Waits for the work dispatched."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def metrics(problem: Problem, gradient: bool) -> Callable[[], Any]:
    """MIR and HDR as the papers' code computes them; with the gradient of their difference."""
    import torch

    _set_tf32(False)
    z, w = (
        torch.tensor(x, device=device(), requires_grad=gradient) for x in (problem.z, problem.w)
    )
    y = torch.tensor(problem.y.astype(np.int64), device=device())

    def entropy(k):
        p = torch.linalg.eigvalsh(k / k.shape[0])
        p = torch.where(p > 0, p, 1.0)
        return -torch.sum(p * torch.log(p))

    def run():
        unit_z, unit_v = (torch.nn.functional.normalize(x, dim=1) for x in (z, w[y]))
        gram_z, gram_v = unit_z @ unit_z.T, unit_v @ unit_v.T
        a, b, joint = entropy(gram_z), entropy(gram_v), entropy(gram_z * gram_v)
        mir, hdr = (a + b - joint) / torch.minimum(a, b), torch.abs(a - b) / torch.maximum(a, b)
        if not gradient:
            return mir, hdr
        return mir.detach(), hdr.detach(), *torch.autograd.grad(mir - hdr, (z, w))

    return run


def eigenvalues(matrices: np.ndarray, vectors: bool) -> Callable[[], Any]:
    """Eigenvalues of symmetric matrices [..., n, n], with or without vectors."""
    import torch

    x = torch.tensor(matrices, device=device())
    return (lambda: torch.linalg.eigh(x)) if vectors else (lambda: torch.linalg.eigvalsh(x))


def wide_resnet_step(
    params: Any, blocks: int, images: np.ndarray, labels: np.ndarray, how: Compiled
) -> Callable[[], Any]:
    """A training step of the network with infojax's parameters, under torch.compile.

    Args:
      params: infojax's, as NumPy arrays.
      blocks: per group.
      images: standardised, float32 [n, h, w, channels]; they stay on the device.
      labels: int32 [n].
      how: precision and compilation.

    Returns:
      A function that makes an update and returns the loss before it.
    """
    import torch

    from benchmarks.reference_wide_resnet import Trainer

    place = device()
    _set_tf32(how.precision == "tf32")
    torch.backends.cudnn.benchmark = True  # XLA chooses its convolutions by measuring, too
    with torch.device(place):
        trainer = Trainer(params, blocks, 0.03)
    x = torch.tensor(images, device=place).permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.tensor(labels, device=place).long()
    model: Any = torch.compile(trainer.model, **how.options)
    half = how.precision == "bfloat16"
    optimizer = _fused(trainer.optimizer)

    def step():
        with torch.autocast(place, torch.bfloat16, enabled=half):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _fused(sgd: Any) -> Any:
    """The same optimiser in one kernel for many parameters."""
    import torch

    groups = [
        {name: group[name] for name in ("params", "weight_decay")} for group in sgd.param_groups
    ]
    same = {name: sgd.defaults[name] for name in ("lr", "momentum", "nesterov")}
    return torch.optim.SGD(groups, fused=True, **same)


def grokking_step(
    params: Any, examples: Any, settings: Any, options: dict[str, Any]
) -> Callable[[], Any]:
    """A full-batch step of the grokking model, compiled; the loss stays on the device."""
    import torch

    from benchmarks.reference_transformer import Trainer

    _set_tf32(True)
    with torch.device(device()):
        trainer = Trainer(params, examples, settings, precise=False)
    model: Any = torch.compile(trainer.model, **options)

    def step():
        scores = torch.log_softmax(model(trainer.tokens)[:, -1], dim=-1)
        loss = -scores.gather(-1, trainer.labels[:, None]).mean()
        trainer.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        trainer.optimizer.step()
        trainer.schedule.step()
        return loss

    return step


def _set_tf32(allowed: bool) -> None:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
