"""Names of metrics and settings as a reader wants them: `test/mir_64` is MIR, "test, n = 64".

The only place that words them; figures and reports take them from here.
"""

import re
from typing import Any, NamedTuple

_RATIO = "ratio"  # between 0 and 1

# Quantity, what tells the metric from others of it, and unit, in the order of a reader's interest.
_KNOWN = {
    "accuracy": ("accuracy", "", _RATIO),
    "best_accuracy": ("accuracy", "best yet", _RATIO),
    "raw_accuracy": ("accuracy", "without averaging", _RATIO),
    "mir": ("MIR", "", _RATIO),
    "population_mir": ("MIR", "all examples", _RATIO),
    "hdr": ("HDR", "", _RATIO),
    "population_hdr": ("HDR", "all examples", _RATIO),
    "class_mir": ("MIR, class level", "", _RATIO),
    "class_hdr": ("HDR, class level", "", _RATIO),
    "between_mir": ("MIR before and after", "", _RATIO),
    "between_hdr": ("HDR before and after", "", _RATIO),
    "between_population_hdr": ("HDR before and after", "all examples", _RATIO),
    "corrected_mir": ("MIR, chance-corrected", "", ""),
    "population_corrected_mir": ("MIR, chance-corrected", "all examples", ""),
    "between_corrected_mir": ("MIR before and after, chance-corrected", "", ""),
    "chance_mir": ("chance level of MIR", "", _RATIO),
    "population_chance_mir": ("chance level of MIR", "all examples", _RATIO),
    "between_chance_mir": ("chance level of MIR before and after", "", _RATIO),
    "entropy_features": ("matrix entropy", "features", "nats"),
    "entropy_head": ("matrix entropy", "head", "nats"),
    "within_class_entropy": ("matrix entropy", "within classes", "nats"),
    "class_mean_entropy": ("matrix entropy", "class means", "nats"),
    "effective_rank": ("effective rank", "", ""),
    "cosine_within": ("mean cosine", "within classes", ""),
    "cosine_between": ("mean cosine", "between classes", ""),
    "nmi": ("clustering", "NMI of k-means with the labels", ""),
    "silhouette": ("clustering", "silhouette", ""),
    "error_from_head": ("features from head rows", "least-squares error", _RATIO),
    "rank_bound_from_head": ("features from head rows", "bound of ranks", _RATIO),
    "effective_bound_from_head": ("features from head rows", "of effective ranks", _RATIO),
    "error_from_features": ("head rows from features", "least-squares error", _RATIO),
    "rank_bound_from_features": ("head rows from features", "bound of ranks", _RATIO),
    "effective_bound_from_features": ("head rows from features", "of effective ranks", _RATIO),
    "class_entropy": ("entropy of a class's images and text", "", ""),
    "modality_gap": ("modality gap", "", ""),
    "loss": ("loss", "", "nats"),
    "raw_loss": ("loss", "without averaging", "nats"),
    "cross_entropy": ("terms of the loss", "cross-entropy", "nats"),
    "mutual_information": ("terms of the loss", "I", "nats"),
    "entropy_difference": ("terms of the loss", "|ΔH|", "nats"),
    "unsupervised": ("terms of the loss", "pseudo-labels", "nats"),
    "fairness": ("terms of the loss", "fairness", "nats"),
    "loss_spike": ("largest loss over the smallest before it", "", ""),
    "threshold": ("confidence threshold", "global", _RATIO),
    "lowest_threshold": ("confidence threshold", "lowest of a class", _RATIO),
    "mask_rate": ("pseudo-labels", "share passing", _RATIO),
    "pseudo_label_accuracy": ("pseudo-labels", "correct, of those passing", _RATIO),
    "restricted_loss": ("loss", "key frequencies alone", "nats"),
    "excluded_loss": ("loss", "without key frequencies", "nats"),
    "gini_embedding": ("Gini coefficient of Fourier norms", "embedding", _RATIO),
    "gini_logit_map": ("Gini coefficient of Fourier norms", "neurons to logits", _RATIO),
    "num_key_frequencies": ("number of key frequencies", "", ""),
    "squared_norm": ("sum of squared weights", "", ""),
    "nc1": ("NC1", "", ""),
    "nc1_quotient": ("NC1", "quotient form", ""),
    "nc2_norms_means": ("NC2", "norms of class means", ""),
    "nc2_norms_head": ("NC2", "norms of head rows", ""),
    "nc2_angles_means": ("NC2", "angles of class means", ""),
    "nc2_angles_head": ("NC2", "angles of head rows", ""),
    "nc3": ("NC3", "", ""),
    "nc4": ("NC4", "", _RATIO),
    "population_mir_error": ("standard error of MIR", "all examples", ""),
    "seconds": ("time", "", "s"),
}
_ORDER = {name: i for i, name in enumerate(_KNOWN)}
_PARTS = ("test", "validation", "train", "batch")  # in that order
_WORDED = {"batch": "batch of the step", "weights": "", "fourier": ""}
_SETTINGS = {"mi_weight": "λ_mi", "id_weight": "λ_id", "label_smoothing": "label smoothing ε"}
_NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")
_NAME = re.compile(r"(?:(?P<part>\w+)/)?(?P<name>\w+?)(?:_(?P<number>\d+(?:\.\d+)?))?")


class Label(NamedTuple):
    """How a metric is named.

    Attributes:
      quantity: what is measured; metrics of one quantity share axes.
      detail: what tells it from other metrics of that quantity; "" if nothing does.
      unit: "nats", "s" or "".
      is_ratio: whether it lies between 0 and 1.
      rank: place in a reader's order.
    """

    quantity: str
    detail: str
    unit: str
    is_ratio: bool
    rank: float

    @property
    def axis(self) -> str:
        """The quantity with its unit."""
        return f"{self.quantity} ({self.unit})" if self.unit else self.quantity

    def __str__(self) -> str:
        return f"{self.quantity}, {self.detail}" if self.detail else self.quantity


def label(metric: str) -> Label:
    """Names a metric; one that is not known keeps its own name.

    A number at the end is a size of batches, or the weight of a loss where it is 1 at most.

    >>> print(label("test/mir_64"))
    MIR, test, n = 64
    >>> label("train/entropy_features_64").axis
    'matrix entropy (nats)'
    >>> print(label("my/own_metric"))
    my/own_metric
    """
    found = _NAME.fullmatch(metric)
    if found is None or found["name"] not in _KNOWN:
        return Label(metric, "", "", False, len(_KNOWN))
    quantity, detail, unit = _KNOWN[found["name"]]
    number = found["number"]
    size = "" if number is None else f"{'λ' if float(number) <= 1 else 'n'} = {number}"
    part = found["part"]
    worded = _WORDED.get(part, part)
    details = ", ".join(text for text in (worded, detail, size) if text)
    rank = _ORDER[found["name"]] + (_PARTS.index(part) if part in _PARTS else 0) / len(_PARTS)
    return Label(quantity, details, "" if unit == _RATIO else unit, unit == _RATIO, rank)


def setting(text: str) -> str:
    """Words a setting of a config.

    >>> setting("weight_decay=1.0"), setting("mi_weight=-0.01"), setting("operation=a/b")
    ('weight decay = 1', 'λ_mi = -0.01', 'operation: a/b')
    """
    name, _, value = text.partition("=")
    sign = " =" if _NUMBER.fullmatch(value) else ":"
    return f"{field(name)}{sign} {setting_value(value)}"


def field(name: str) -> str:
    """Words the name of a config's field."""
    return _SETTINGS.get(name, name.replace("_", " "))


def setting_value(value: Any) -> str:
    """Words the value of a setting.

    >>> [setting_value(x) for x in (1.0, 0.01, "a/b", "")]
    ['1', '0.01', 'a/b', 'none']
    """
    text = str(value)
    return (text.removesuffix(".0") if _NUMBER.fullmatch(text) else text) or "none"
