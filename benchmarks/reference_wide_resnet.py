"""infojax's WideResNet and its SGD in PyTorch, started from the same parameters."""

from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as functional
from torch import nn


class Conv(nn.Conv2d):
    """A convolution with "SAME" padding; odd padding is larger on the right and below."""

    def __init__(self, kernel: np.ndarray, stride: int):
        k, _, c_in, c_out = kernel.shape
        super().__init__(c_in, c_out, k, stride, bias=False)
        self.weight.data = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolves [n, channels, h, w]."""
        total = max(self.kernel_size[0] - self.stride[0], 0)
        low = total // 2
        return super().forward(functional.pad(x, (low, total - low, low, total - low)))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, params: Any, stride: int, activate_shortcut: bool):
        super().__init__()
        self.norm1, self.norm2 = (_norm(params[name]) for name in ("norm1", "norm2"))
        self.conv1 = Conv(params["conv1"]["kernel"], stride)
        self.conv2 = Conv(params["conv2"]["kernel"], 1)
        has_shortcut = "shortcut" in params
        self.shortcut = Conv(params["shortcut"]["kernel"], stride) if has_shortcut else None
        self.activate_shortcut = activate_shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [n, channels, h, w]."""
        y = functional.leaky_relu(self.norm1(x), 0.1)
        shortcut = y if self.activate_shortcut else x
        y = self.conv2(functional.leaky_relu(self.norm2(self.conv1(y)), 0.1))
        return y + (shortcut if self.shortcut is None else self.shortcut(shortcut))


class WideResNet(nn.Module):
    """WideResNet with three groups, from infojax's parameters."""

    def __init__(self, params: Any, blocks: int):
        super().__init__()
        self.stem = Conv(params["stem"]["kernel"], 1)
        self.blocks = nn.Sequential(
            *(
                Block(params[f"group{g}_block{b}"], 2 if g > 0 and b == 0 else 1, g == b == 0)
                for g in range(3)
                for b in range(blocks)
            )
        )
        self.norm = _norm(params["norm"])
        self.head = nn.Linear(*params["head"]["kernel"].shape)
        self.head.weight.data = torch.tensor(params["head"]["kernel"]).T.contiguous()
        self.head.bias.data = torch.tensor(params["head"]["bias"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [n, C] of images [n, channels, h, w]."""
        x = functional.leaky_relu(self.norm(self.blocks(self.stem(x))), 0.1)
        return self.head(x.mean((2, 3)))


def _norm(params: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(len(params["scale"]), eps=1e-3, momentum=0.001)
    norm.weight.data, norm.bias.data = torch.tensor(params["scale"]), torch.tensor(params["bias"])
    return norm


class Trainer:
    """SGD with the paper's settings."""

    def __init__(self, params: Any, blocks: int, learning_rate: float):
        self.model = WideResNet(params, blocks)
        cast(Any, self.model).to(memory_format=torch.channels_last)
        kernels = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": kernels, "weight_decay": 5e-4},
            {"params": others},
        ]
        self.optimizer = torch.optim.SGD(groups, learning_rate, momentum=0.9, nesterov=True)

    def step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Makes one update on standardised images [n, h, w, channels]; returns the prior loss."""
        x = torch.tensor(images).permute(0, 3, 1, 2)
        loss = functional.cross_entropy(self.model(x), torch.tensor(labels).long())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()
