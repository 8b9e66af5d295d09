"""Conclusions of mode connectivity from points with known answers."""

import numpy as np
import pytest

from configs import mode_connectivity as configs
from launch.results import mode_connectivity

RATE = 0.03
TREATMENTS = ("interpolated", "recomputed", "first")


def smoke(**changes):
    config = configs.get_config("smoke")
    config.update({"learning_rates": (RATE,)} | changes)
    return config


def test_hump_and_dips_of_known_curves():
    omega = np.round(np.linspace(0, 1, 11), 9)
    mir = np.array([0.5 + 0.3 * (omega == 0.6), 0.4 + 0.2 * omega + 0.5 * (omega == 0.1)])
    found = mode_connectivity.hump(omega, mir)
    np.testing.assert_allclose(found["mir_hump"], [0.3, 0], atol=1e-12)  # a slope is no hump
    np.testing.assert_allclose(found["mir_hump_omega"][0], 0.6)
    hdr = np.array([0.3 - 0.2 * (omega == 0.1), 0.3 + omega - 0.9 * (omega == 0.9)])
    hdr[1, 5] = 0  # in the middle, where no dip is searched
    found = mode_connectivity.dips(omega, hdr)
    np.testing.assert_allclose(found["hdr_dip_first"], [0.2, 0], atol=1e-12)
    np.testing.assert_allclose(found["hdr_dip_first_omega"], [0.1, 0])
    np.testing.assert_allclose(found["hdr_dip_second"], [0, 0.7], atol=1e-12)  # below ω = 0.7
    np.testing.assert_allclose(found["hdr_dip_second_omega"][1], 0.9)
    falling = mode_connectivity.dips(omega, (1 - omega)[None])
    assert falling["hdr_dip_first"] == falling["hdr_dip_second"] == 0


@pytest.mark.parametrize("k", [11, 21, 30, 41])
def test_ends_of_the_middle_whatever_the_rounding(k):
    """0.7 is 0.7000000000000001 in some ranges; a curve and its mirror image agree."""
    omega = np.linspace(0, 1, k)
    mir = 0.5 + 0.2 * (abs(omega - 0.3) < 0.01) + 0.1 * (abs(omega - 0.7) < 0.01)
    humps = mode_connectivity.hump(omega, np.array([mir, mir[::-1]]))["mir_hump"]
    assert humps[0] == pytest.approx(humps[1])
    dips = mode_connectivity.dips(omega, np.array([1 - mir, 1 - mir[::-1]]))
    assert dips["hdr_dip_first"][0] == pytest.approx(dips["hdr_dip_second"][1])
    assert dips["hdr_dip_second"][0] == pytest.approx(dips["hdr_dip_first"][1])


def made_up(curves, rate=RATE):
    """Points of two pairs, which differ by 0.01 in MIR at the middle, from curves by treatment."""
    omega = np.linspace(0, 1, 5)
    names = ["accuracy", "loss", "mir_32", "hdr_32", "population_mir", "population_hdr"]
    names += [f"entropy_{x}{n}" for x in ("features", "head") for n in ("", "_32")]
    for seed in (0, 1):
        for i, w in enumerate(omega):
            metrics = {
                treatment: {
                    f"test/{name}": curve.get(name, np.full(5, 0.5))[i]
                    + seed * 0.01 * (name == "mir_32") * (i == 2)
                    for name in names
                }
                for treatment, curve in curves.items()
            }
            yield {"seed": seed, "learning_rate": rate, "omega": float(w)} | metrics


HUMP = np.array([0.5, 0.5, 0.9, 0.5, 0.5])
BROKEN = {"accuracy": np.array([0.9, 0.5, 0.1, 0.5, 0.7]), "mir_32": HUMP}
BROKEN |= {"population_mir": 1 - HUMP, "hdr_32": 1 - HUMP}
REPAIRED = {"mir_32": np.full(5, 0.5), "accuracy": np.full(5, 0.8)}


def test_summary_answers_from_the_numbers():
    points = made_up({"interpolated": BROKEN, "recomputed": REPAIRED, "first": BROKEN})
    summary = mode_connectivity.summarize(list(points), smoke())
    results = summary["results"][str(RATE)]
    assert results["interpolated"]["error_barrier"]["by_pair"] == pytest.approx([0.7, 0.7])
    assert results["recomputed"]["error_barrier"]["mean"] == pytest.approx(0, abs=1e-7)
    assert results["interpolated"]["mir_hump, n = 32"]["by_pair"] == pytest.approx([0.4, 0.41])
    compared = summary["artefacts"][str(RATE)]["mir_hump, n = 32"]
    assert compared["verdict"] == "gone"
    assert compared["recomputed - interpolated"]["mean"] == pytest.approx(-0.4)
    assert compared["recomputed - interpolated"]["verdict"] == "lower"
    (connected,) = summary["observations"]["connected"]["measured"]
    expected = {"interpolated": 0.7, "recomputed": 0, "first": 0.7}
    assert connected == {str(RATE): pytest.approx(expected, abs=1e-7)}


@pytest.mark.parametrize(
    ("interpolated", "recomputed", "verdicts", "holds"),
    [
        (BROKEN, REPAIRED, {"gone": 1, "absent": 5}, True),
        (BROKEN, BROKEN, {"remains": 1, "absent": 5}, False),
        (BROKEN | {"population_mir": HUMP}, BROKEN, {"remains": 1, "gone": 1, "absent": 4}, False),
        (REPAIRED, BROKEN, {"only with recomputed statistics": 1, "absent": 5}, None),
        (REPAIRED, REPAIRED, {"absent": 6}, None),  # nothing to explain
    ],
)
def test_artefacts_of_the_statistics(interpolated, recomputed, verdicts, holds):
    curves = {"interpolated": interpolated, "recomputed": recomputed}
    found = mode_connectivity.summarize(list(made_up(curves)), smoke(treatments=tuple(curves)))
    artefact = found["observations"]["artefact"]
    assert (artefact["measured"], artefact["holds"]) == ([verdicts], [holds])


def test_dips_where_entropies_cross():
    """Between 0 and a quarter H(features) falls below H(head); the other dip is elsewhere."""
    omega = np.array([0, 0.5, 1.0])
    assert mode_connectivity.crossings(omega, np.array([1, -3.0, -1])) == pytest.approx([0.125])
    assert mode_connectivity.crossings(omega, np.array([0, 1.0, 2])) == []
    curve = {"hdr_32": np.array([0.5, 0.2, 0.5, 0.3, 0.5])}
    curve["entropy_features_32"] = np.array([0.6, 0.4, 0.4, 0.4, 0.4])
    points = made_up({"interpolated": curve, "recomputed": {}})
    config = smoke(treatments=("interpolated", "recomputed"))
    observed = mode_connectivity.summarize(list(points), config)["observations"]
    assert observed["crossings"]["holds"] == [None]
    assert observed["crossings"]["measured"] == [
        {
            "interpolated": {"dips": 4, "at_crossings": 2},
            "recomputed": {"dips": 0, "at_crossings": 0},
        }
    ]


def test_pairs_that_lack_points_are_left_out():
    points = list(made_up({t: {} for t in TREATMENTS}))
    assert mode_connectivity.summarize(points, smoke())["pairs"] == {str(RATE): 2}
    assert mode_connectivity.summarize(points[:-1], smoke())["pairs"] == {str(RATE): 1}
    assert mode_connectivity.summarize(points[:3], smoke())["results"] == {}
