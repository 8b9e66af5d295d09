"""FreeMatch in float64 NumPy, sample by sample, written from the published description.

It shares no formula with `infojax.methods.freematch`: means are loops over samples, the mask
selects rows instead of weighting them, and cross-entropy is minus the logarithm of a probability.
"""

import numpy as np


def softmax(logits):
    odds = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    return odds / np.sum(odds, axis=1, keepdims=True)


class FreeMatch:
    """The self-adaptive thresholds."""

    def __init__(self, classes, momentum=0.999):
        self.m = momentum
        self.tau = 1 / classes
        self.p = np.full(classes, 1 / classes)
        self.h = np.full(classes, 1 / classes)

    def update(self, logits_weak):
        """Updates the averages; returns the mask, the labels and each distance to the threshold."""
        q = softmax(np.asarray(logits_weak, np.float64))
        n, classes = q.shape
        labels = np.array([int(np.argmax(row)) for row in q])
        histogram = np.array([sum(labels == c) for c in range(classes)]) / n
        self.tau = self.m * self.tau + (1 - self.m) * sum(max(row) for row in q) / n
        self.p = self.m * self.p + (1 - self.m) * sum(q) / n
        self.h = self.m * self.h + (1 - self.m) * histogram
        distance = np.array(
            [
                max(row) - self.tau * self.p[c] / max(self.p)
                for row, c in zip(q, labels, strict=True)
            ]
        )
        return distance >= 0, labels, distance

    def fairness_loss(self, logits_strong, mask):
        chosen = np.asarray(logits_strong, np.float64)[mask]
        if len(chosen) == 0:
            return 0.0
        predicted = np.argmax(chosen, axis=1)
        histogram = [np.mean(predicted == c) for c in range(len(self.p))]
        a = _normalised([_divide(p, h) for p, h in zip(self.p, self.h, strict=True)])
        mean = np.mean(softmax(chosen), axis=0)
        b = _normalised([_divide(p, h) for p, h in zip(mean, histogram, strict=True)])
        return sum(a * np.log(b + 1e-12))


def unsupervised_loss(logits_strong, labels, mask):
    q = softmax(np.asarray(logits_strong, np.float64))
    return sum(-np.log(row[c]) for row, c, ok in zip(q, labels, mask, strict=True) if ok) / len(q)


def _divide(x, y):
    return x / y if y > 0 else 0.0


def _normalised(x):
    return np.asarray(x) / sum(x)
