"""Records of grokking with known transitions."""

import numpy as np

from infojax.training import evaluation_steps

N = 16
STEPS = np.array(evaluation_steps(4_000, 50))


def along(*points):
    """A curve through (step, value), linear in between."""
    steps, values = zip(*points, strict=True)
    return np.interp(STEPS, steps, values)


def history(at=None, mir=1.0, hdr=1.0, level=0.5, last=4_000):
    """Records of a seed that generalises around an epoch, or not.

    Args:
      at: epoch of half the rise of test accuracy; None: it stays low.
      mir: MIR falls around this multiple of `at` (of 2,000 without one); None: not at all.
      hdr: the same of the rise and fall of HDR.
      level: of MIR before its fall.
      last: epoch of the last record.
    """
    centre = at or 2_000
    low, high = np.full(len(STEPS), 0.3), np.full(len(STEPS), level)
    accuracy = along((0, 0.0), (0.9 * centre, 0.0), (1.1 * centre, 1.0)) if at else low
    curves = {
        "train/accuracy": along((0, 0.0), (100, 1.0)),
        "test/accuracy": accuracy,
        "train/loss_spike": np.ones(len(STEPS)),
        "weights/squared_norm": along((0, 100.0), (4_000, 90.0)),
    }
    for prefix, end in (("", f"_{N}"), ("class_", "")):
        fall = (
            high if mir is None else along((0.9 * mir * centre, level), (1.1 * mir * centre, 0.2))
        )
        bump = np.full(len(STEPS), 0.1)
        if hdr is not None:
            steps = (0.9 * hdr * centre, 1.1 * hdr * centre, 1.3 * hdr * centre)
            bump = along((0, 0.9), (50, 0.1), *zip(steps, (0.1, 0.4, 0.1), strict=True))
        curves |= {f"test/{prefix}mir{end}": fall, f"test/{prefix}hdr{end}": bump}
    return [
        {"step": int(step), "seconds": 1.0} | {k: float(v[i]) for k, v in curves.items()}
        for i, step in enumerate(STEPS)
        if step <= last
    ]
