"""λ of prompt learning is chosen on validation images alone."""

import pytest

from launch.results import prompt_learning


def _last(**changes):
    accuracies = {
        "test": {"0": 0.5, "0.1": 0.9, "0.5": 0.6},
        "validation": {"0": 0.9, "0.1": 0.2, "0.5": 0.4},
    }
    record = {f"{s}/accuracy_{n}": a for s, own in accuracies.items() for n, a in own.items()}
    record |= {f"validation/loss_{n}": 1.0 for n in ("0", "0.1", "0.5")}
    return {"step": 9, "seconds": 1.0} | record | changes


def _summary(last):
    zero_shot = {"all": 0.3, "test": 0.4}
    return prompt_learning.summarize([[{"step": 0}, last]], ["0", "0.1", "0.5"], zero_shot)


def test_weight_is_chosen_on_validation_images():
    summary = _summary(_last())
    assert summary["alignment_weight"] == [0.5]
    assert summary["test_accuracy"]["ce_cma"]["mean"] == 0.6
    assert summary["differences"]["ce_cma - ce"]["mean"] == pytest.approx(0.1)
    assert (summary["steps"], summary["seconds"], summary["observations"]) == (9, [1.0], {})
    assert summary["zero_shot"] == {"all": 0.3, "test": 0.4}
    assert summary["final"]["test/accuracy_0.1"] == {"mean": 0.9, "std": None}


def test_the_lower_loss_decides_between_equal_accuracies():
    tie = {"validation/accuracy_0.1": 0.4, "validation/loss_0.1": 0.3}
    assert _summary(_last(**tie))["alignment_weight"] == [0.1]
