"""Names of metrics: known ones in words, unknown ones as they are."""

import pytest

from launch.labels import label


@pytest.mark.parametrize(
    ("metric", "text", "axis"),
    [
        ("test/mir_64", "MIR, test, n = 64", "MIR"),
        ("validation/population_hdr", "HDR, validation, all examples", "HDR"),
        ("batch/accuracy", "accuracy, batch of the step", "accuracy"),
        ("test/accuracy_0.9", "accuracy, test, λ = 0.9", "accuracy"),
        ("test/mir_0", "MIR, test, λ = 0", "MIR"),
        ("train/entropy_head_256", "matrix entropy, train, head, n = 256", "matrix entropy (nats)"),
        ("weights/squared_norm", "sum of squared weights", "sum of squared weights"),
        ("loss", "loss", "loss (nats)"),
        ("test/nc1", "NC1, test", "NC1"),
    ],
)
def test_known(metric, text, axis):
    found = label(metric)
    assert (str(found), found.axis) == (text, axis)


@pytest.mark.parametrize("metric", ["test/own", "test/own_64", "a/b/mir", "mir 64", "", "<b>"])
def test_unknown_metrics_keep_their_names(metric):
    assert str(label(metric)) == label(metric).axis == metric
    assert not label(metric).is_ratio


def test_ratios_and_order():
    metrics = ["own", "test/loss", "test/hdr_64", "test/mir_64", "test/accuracy"]
    found = sorted(map(label, metrics), key=lambda each: each.rank)
    assert [x.quantity for x in found] == ["accuracy", "MIR", "HDR", "loss", "own"]
    assert [x.is_ratio for x in found] == [True, True, True, False, False]
