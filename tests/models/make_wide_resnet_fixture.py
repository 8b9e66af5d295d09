"""Writes wide_resnet.npz: outputs of WideResNet in PyTorch for wide_resnet_problems.py.

In a separate environment (torch is large), from the repository's root:

    pip install torch && python -m tests.models.make_wide_resnet_fixture

The networks are written from what the code of TorchSSL (models/nets/wrn.py) and of USB
(semilearn/nets/wrn/wrn.py) computes, in float64.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.models import wide_resnet_problems as problems


class Block(nn.Module):
    """A block whose projection, if it has one, starts from the activation in the first group only.

    With a projection, conv1 receives what the projection does; without one, the activation.
    """

    def __init__(self, c_in, c_out, stride, epsilon, biased, first_group):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(c_in, epsilon)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=biased)
        self.norm2 = nn.BatchNorm2d(c_out, epsilon)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=biased)
        self.shortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=biased) if c_in != c_out else None
        self.first_group = first_group

    def forward(self, x):
        activated = functional.leaky_relu(self.norm1(x), 0.1)
        if self.shortcut is None:
            residual, start = x, activated
        else:
            start = activated if self.first_group else x
            residual = self.shortcut(start)
        return residual + self.conv2(functional.leaky_relu(self.norm2(self.conv1(start)), 0.1))


class Network(nn.Module):
    """WideResNet of three groups, with layers named as in infojax."""

    def __init__(self, form, depth, width):
        super().__init__()
        epsilon, biased = {"torchssl": (1e-3, True), "usb": (1e-5, False)}[form]
        self.stem, c_in = nn.Conv2d(3, 16, 3, 1, 1), 16
        self.blocks = nn.ModuleDict()
        for group in range(3):
            for number in range((depth - 4) // 6):
                c, stride = 16 * 2**group * width, 2 if group > 0 and number == 0 else 1
                block = Block(c_in, c, stride, epsilon, biased, group == 0)
                self.blocks[f"group{group}_block{number}"], c_in = block, c
        self.norm = nn.BatchNorm2d(c_in, 1e-3)
        self.head = nn.Linear(c_in, problems.CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks.values():
            x = block(x)
        features = functional.leaky_relu(self.norm(x), 0.1).mean((2, 3))
        return features, self.head(features)


def layers(tree, path=()):
    """Names and arrays of the layers in a tree of variables."""
    if any(isinstance(branch, dict) for branch in tree.values()):
        for name, branch in tree.items():
            yield from layers(branch, (*path, name))
    else:
        yield path, tree


def load(network, variables):
    """Copies infojax's variables to the layers of the same names."""
    names = {
        **{"kernel": "weight", "scale": "weight", "bias": "bias"},
        **{"mean": "running_mean", "var": "running_var"},
    }
    for tree in variables.values():
        for path, arrays in layers(tree):
            module = network.blocks if path[0].startswith("group") else network
            module = module.get_submodule(".".join(path))
            for name, array in arrays.items():
                own = np.transpose(array, (3, 2, 0, 1) if array.ndim == 4 else None)
                getattr(module, names[name]).data = torch.tensor(own, dtype=torch.float64)


@torch.no_grad()
def outputs():
    """Features and logits by name of the case, in evaluation and in training."""
    found = {}
    x = torch.tensor(problems.images().transpose(0, 3, 1, 2), dtype=torch.float64)
    for form in problems.FORMS:
        for case, (depth, width) in problems.CASES.items():
            network = Network(form, depth, width).double()
            load(network, problems.variables(form, depth, width))
            for mode in ("eval", "train"):
                pair = network.train(mode == "train")(x)
                for name, value in zip(("features", "logits"), pair, strict=True):
                    found[f"{form}, {case}, {mode}, {name}"] = value.numpy().astype(np.float32)
    return found


if __name__ == "__main__":
    arrays = outputs()
    np.savez_compressed(Path(__file__).parent / "wide_resnet.npz", **arrays)
    print({name: array.shape for name, array in arrays.items()})
