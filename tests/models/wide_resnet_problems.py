"""Images and weights on which WideResNet is compared with PyTorch: fixed, and nothing is 0 or 1."""

import numpy as np

CLASSES = 5
CASES = {"narrow": (10, 1), "two blocks": (16, 2)}  # depth and width
FORMS = ("torchssl", "usb")


def images():
    """Standardised images [4, 12, 12, 3]; strides of 2 meet sizes 12 and 6."""
    return np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype(np.float32)


def variables(form, depth, width):
    """Parameters and BatchNorm statistics, as infojax names them."""
    rng = np.random.default_rng(1)
    params, statistics = {}, {}

    def conv(c_in, c_out, size, biased):
        scale = np.sqrt(2 / (size * size * c_in))
        layer = {"kernel": scale * rng.normal(size=(size, size, c_in, c_out))}
        return layer | ({"bias": rng.normal(0, 0.3, c_out)} if biased else {})

    def norm(c):
        affine = {"scale": rng.uniform(0.5, 1.5, c), "bias": rng.normal(0, 0.3, c)}
        return affine, {"mean": rng.normal(0, 0.3, c), "var": rng.uniform(0.5, 2, c)}

    params["stem"], c_in, biased = conv(3, 16, 3, True), 16, form == "torchssl"
    for group in range(3):
        for number in range((depth - 4) // 6):
            name, c = f"group{group}_block{number}", 16 * 2**group * width
            params[name], statistics[name] = {}, {}
            for key, channels in (("norm1", c_in), ("norm2", c)):
                params[name][key], statistics[name][key] = norm(channels)
            params[name] |= {"conv1": conv(c_in, c, 3, biased), "conv2": conv(c, c, 3, biased)}
            if c_in != c:
                params[name]["shortcut"] = conv(c_in, c, 1, biased)
            c_in = c
    params["norm"], statistics["norm"] = norm(c_in)
    params["head"] = {
        "kernel": rng.normal(0, 0.1, (c_in, CLASSES)),
        "bias": rng.normal(size=CLASSES),
    }
    return _float32({"params": params, "batch_stats": statistics})


def _float32(tree):
    if isinstance(tree, dict):
        return {name: _float32(branch) for name, branch in tree.items()}
    return tree.astype(np.float32)
