"""Settings that cannot be run: refused in one line, before anything is trained or written."""

import importlib
import re

import pytest

from infojax.errors import UserError
from launch import experiment
from tests import features

CONFIGS = {"supervised": "cifar10", "sweep": "label_smoothing"}  # others are named alike
REFUSED = {
    "supervised": [
        ({"batch_size": 33}, "batch_size = 33 is not a multiple of 2"),
        ({"batch_size": 32, "accumulate_steps": 32}, "not a multiple of 64"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"depth": 12}, "depth must be 6 n + 4 (10, 16, 22, 28), got 12"),
        ({"metric_batch_sizes": ()}, "metric_batch_sizes must hold divisors of eval_batch_size"),
        ({"metric_batch_sizes": (24,)}, "metric_batch_sizes must hold divisors of eval_batch_size"),
        ({"metric_batch_sizes": (512,), "eval_batch_size": 512}, "exceeds the 360 images"),
        ({"population_splits": ("valid",)}, "population_splits may hold"),
        ({"label_smoothing": 1.0}, "label_smoothing must lie in [0, 1), got 1.0"),
        ({"information_terms": "mir"}, "information_terms = 'mir' is unknown; use entropies"),
        ({"compute_dtype": "float16"}, "compute_dtype = 'float16' is unknown; use float32"),
        ({"mi_weight": -0.1}, "mi_weight must be at least 0, got -0.1"),
        ({"train_size": 5000}, "train_size"),
        ({"num_steps": 2**27}, "batch_size times num_steps must be below 2^31"),
    ],
    "semisupervised": [
        ({"method": "flexmatch"}, "method = 'flexmatch' is unknown; use supervised"),
        ({"num_labels": 15}, "multiple of the 10 classes"),
        ({"num_labels": 2000}, "200 images of each class"),
        ({"batch_size": 15}, "batch_size = 15 is not a multiple of 2"),
        ({"unlabelled_ratio": 0}, "unlabelled_ratio must be at least 1, got 0"),
        ({"unlabelled_ratio": 2**25}, "unlabelled_ratio times num_steps must be below 2^31"),
        ({"threshold_momentum": 1.0}, "threshold_momentum must lie in [0, 1), got 1.0"),
        ({"fixed_threshold": 1.5}, "fixed_threshold must lie in [0, 1], got 1.5"),
        ({"fairness_weight": -0.1}, "fairness_weight must be at least 0, got -0.1"),
        ({"label_seed": -1}, "label_seed must be at least 0, got -1"),
        ({"depth": 12}, "depth must be 6 n + 4"),
    ],
    "sweep": [
        ({"fields": ("epsilon",), "points": ((0.0,),)}, "fields = ('epsilon',) must name fields"),
        ({"fields": (), "points": ((0.0,),)}, "fields = () must name fields of the config"),
        ({"points": ()}, "points must hold at least one row"),
        ({"points": ((0.0,), (0.0,))}, "points must hold at least one row of values, each"),
        ({"points": (0.5,)}, "points must hold tuples, one value per field; got 0.5"),
        ({"points": (("a",),)}, "points: label_smoothing must be a number, such as 0.0; got 'a'"),
        ({"fields": ("seed",), "points": ((0,),)}, "fields holds 'seed', in which the points of"),
        ({"fields": ("experiment",), "points": (("a",),)}, "fields holds 'experiment', in which"),
        ({"table_metrics": ()}, "table_metrics must name at least one recorded metric"),
        ({"fields": ("dataset",), "points": (("../../x",),)}, "cannot be the name of a directory"),
        ({"fields": ("dataset",), "points": (("x" * 250,),)}, "cannot be the name of a directory"),
        ({"fields": ("dataset",), "points": (("a",), ("a/b",))}, "would share a directory"),
        ({"fields": ("depth",), "points": ((10,), (2**30,))}, "depth must be at most 1000"),
        ({"points": ((0.0, 1.0),)}, "each row of points must hold 1 values"),
        ({"point_experiment": "pruning"}, "point_experiment = 'pruning' cannot be run"),
        ({"point_experiment": "alchemy"}, "point_experiment = 'alchemy' is unknown"),
        ({"points": ((0.0,), (1.5,))}, "label_smoothing must lie in [0, 1), got 1.5"),
        ({"validation_fraction": 0.2}, "table_metrics holds 'test/accuracy', but validation_fra"),
    ],
    "mode_connectivity": [
        ({"num_omegas": 2}, "num_omegas must be at least 3, got 2"),
        ({"fork_step": 12}, "fork_step must be below num_steps = 12"),
        ({"fork_step": -1}, "fork_step must be at least 0, got -1"),
        ({"treatments": ("frozen",)}, "treatments = ('frozen',) must hold some of interpolated"),
        ({"learning_rates": ()}, "learning_rates must hold at least one learning rate"),
        ({"learning_rates": (0.1, 0.1)}, "each of them once"),
        ({"learning_rates": (-0.1,)}, "learning_rate must be at least 0, got -0.1"),
        ({"depth": 11}, "depth must be 6 n + 4"),
    ],
    "pruning": [
        ({"sparsities": (0.5, 1.0)}, "sparsities must lie in [0, 1), got 1.0"),
        ({"sparsities": (-0.1,)}, "sparsities must lie in [0, 1), got -0.1"),
        ({"sparsities": (float("nan"),)}, "sparsities must lie in [0, 1), got nan"),
        ({"sparsities": ()}, "sparsities must hold at least one sparsity"),
        ({"sparsities": (0.5, 0.5)}, "each of them once"),
        ({"methods": ("best",)}, "methods = ('best',) must hold some of one_shot, gradual"),
        ({"gradual_steps": 8}, "gradual_steps = 8 must be a multiple of mask_every = 2 and at"),
        ({"gradual_steps": 3}, "gradual_steps = 3 must be a multiple of mask_every = 2 and at"),
        ({"gradual_steps": 0}, "gradual_steps must be at least 2, got 0"),
        ({"finetune_steps": 0}, "finetune_steps must be at least 1, got 0"),
        ({"finetune_learning_rate": -1.0}, "finetune_learning_rate must be at least 0"),
        ({"momentum": 1.5}, "momentum must lie in [0, 1), got 1.5"),
    ],
    "crossmodal": [
        ({"features": ("missing",)}, "missing.npz: set --config.data_dir"),
        ({"shots": (1, 9)}, "class 'class 0' has 7 training images, fewer than 9 shots"),
        ({"shots": (0,)}, "shots must be at least 1, got 0"),
        ({"heads": ("probe",)}, "heads holds 'probe'; use some of linear_probe"),
        ({"alignment_weights": (0.0, 0.5)}, "alignment_weights must lie in (0, 1], got 0.0"),
        ({"variant": "class"}, "variant = 'class' is unknown; use classwise, modal or all"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"num_steps": 1}, "num_steps must be at least 2, got 1"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"num_steps": 2**26}, "batch_size times num_steps must be below 2^28"),
        ({"heads": ("linear_probe", "linear_probe")}, "heads must not be empty, and hold each"),
        ({"features": ()}, "features must not be empty, and hold each value once"),
    ],
    "prompt_learning": [
        ({"checkpoint": ""}, "checkpoint must name a file of CLIP weights"),
        ({"checkpoint": "none.safetensors"}, "there are no weights at none.safetensors"),
        ({"activation": "relu"}, "activation = 'relu' is unknown; use auto, gelu or quick_gelu"),
        ({"dataset": "mnist"}, "dataset = 'mnist' is unknown; use directory or digits"),
        ({"variant": "class"}, "variant = 'class' is unknown; use classwise, modal or all"),
        ({"alignment_weights": (0.0,)}, "alignment_weights must hold weights in (0, 1]"),
        ({"batch_size": 7}, "batch_size = 7 must be a multiple of the 2 devices"),
        ({"shots": 0}, "shots must be at least 1, got 0"),
        ({"alignment_weights": (0.5, 0.5000000001)}, "alignment_weights must hold each weight"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0, got -1.0"),
        ({"num_steps": 2**26}, "batch_size times num_steps must be below 2^28"),
    ],
}


@pytest.fixture
def config(request, tmp_path_factory):
    """The smoke variant of an experiment, on features that exist."""
    name = request.param
    settings = importlib.import_module(f"configs.{CONFIGS.get(name, name)}").get_config("smoke")
    if name == "crossmodal":
        directory = tmp_path_factory.mktemp("features")
        settings.data_dir, settings.features = str(directory), (features.write(directory),)
    return settings


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [(name, *row) for name, rows in REFUSED.items() for row in rows],
    indirect=["config"],
)
def test_refused_before_any_work(config, tmp_path, changes, message):
    config.update(changes)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        experiment.load(config.experiment).run(config, tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert not any(tmp_path.iterdir())
