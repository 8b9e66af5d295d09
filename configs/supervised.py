"""Settings shared by the image-classification configs; not an experiment by itself."""

from typing import Any

from ml_collections import ConfigDict

from configs import _variants

DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "flip": False,
    "crop_padding": 1,
    "vit_patch": 2,
    "vit_width": 64,
    "vit_depth": 4,
}
# A WideResNet-10-1 on digits, in seconds.
SMOKE: dict[str, Any] = DIGITS | {
    "depth": 10,
    "width": 1,
    "mlp_width": 64,
    "vit_width": 32,
    "vit_depth": 2,
    "train_size": 256,
    "num_steps": 12,
    "batch_size": 32,
    "learning_rate": 0.1,
    "batchnorm_decay": 0.5,
    "ema_decay": 0.5,
    "eval_every": 4,
    "checkpoint_every": 4,
    "eval_batch_size": 64,
    "metric_batch_sizes": (32,),
    "population_splits": ("train", "test"),
    "steps_per_call": 3,
}
# A WideResNet-10-1 whose first group has stride 2, three epochs of CIFAR-10: a minute on two cores.
SMALL: dict[str, Any] = {
    "depth": 10,
    "width": 1,
    "first_stride": 2,
    "vit_patch": 8,
    "vit_width": 64,
    "vit_depth": 4,
    "batch_size": 128,
    "num_steps": 1200,
    "learning_rate": 0.1,
    "batchnorm_decay": 0.99,
    "ema_decay": 0.99,
    "eval_every": 400,
    "checkpoint_every": 400,
    "steps_per_call": 20,
}
# A WideResNet-10-2 of the same kind, 7.7 epochs of CIFAR: minutes on two cores.
MEDIUM: dict[str, Any] = SMALL | {
    "width": 2,
    "num_steps": 3000,
    "population_splits": ("test",),
    "eval_every": 150,
    "checkpoint_every": 300,
    "steps_per_call": 10,
}
# The network of the papers' code base.
PAPER: dict[str, Any] = {"wide_resnet_form": "torchssl"}
VARIANTS: _variants.Variants = {"cpu": MEDIUM, "paper": PAPER, "smoke": SMOKE}


def base(dataset: str) -> ConfigDict:
    """Returns the settings of Song et al. 2024, section 5.1, for a data set of 32 x 32 images."""
    config = ConfigDict()
    config.experiment = "supervised"  # the module in launch/experiments
    config.seed = 0  # of initial parameters, batches and augmentation
    config.num_seeds = 1  # seeds seed, seed + 1, ...; with several, each has its own directory

    config.dataset = dataset  # digits, a TFDS set, a directory, an .npz or hf:NAME (docs/data.md)
    config.data_dir = ""  # if empty, TFDS_DATA_DIR from the environment, or TFDS's default
    config.image_size = 0  # side to resize to; 0: images must have one size
    config.stream = False  # read images batch by batch, if they exceed a device's memory
    config.train_size = 0  # training images to use; 0: all
    config.validation_fraction = 0.0  # share of them to evaluate on instead of the test split
    config.flip = True  # half of the training images are mirrored
    config.crop_padding = 4  # training images are shifted by up to this many pixels; 0: none

    _add_models(config)
    config.batch_size = 64  # global
    config.accumulate_steps = 1  # microbatches per batch; entropies are then per microbatch
    config.num_steps = 2**20  # updates; the learning rate follows a cosine over them
    config.learning_rate = 0.03  # at the first step
    config.momentum = 0.9  # Nesterov's
    config.weight_decay = 5e-4  # of kernels only
    config.ema_decay = 0.999  # of the parameters used in evaluation; 0: no averaging

    config.label_smoothing = 0.0  # ε: targets (1 - ε) one-hot + ε / C
    config.mi_weight = 0.0  # the paper does not give the weights of its Table 2
    config.id_weight = 0.0  # of the entropy difference, to be minimised
    config.information_terms = "entropies"  # I and |ΔH| in nats; or "ratios": MIR and HDR
    config.information_entropy = "eigenvalues"  # in the loss; or "squarings": matrix products alone

    config.eval_every = 2**20 // 100  # steps between records
    config.eval_batch_size = 512  # images per forward pass
    config.metric_batch_sizes = (64,)  # MIR and HDR are averages over batches of these sizes
    config.chance_permutations = 8  # of batches' labels, for the chance level of MIR; 0: none
    config.population_splits = ()  # MIR, HDR, NC1-4 of all images; test: the evaluated split
    config.checkpoint_every = 5000  # steps; a run resumes from its last checkpoint
    config.steps_per_call = 100  # updates per call of the compiled program
    return config


def _add_models(config: ConfigDict) -> None:
    config.model = "wide_resnet"  # mlp, vit, or package.module:function (docs/models.md)
    config.wide_resnet_form = "tensorflow"  # of Google's FixMatch; or torchssl, or usb
    config.depth, config.width = 28, 2  # of wide_resnet: 6 n + 4; times 16, 32, 64 channels
    config.num_groups = 3  # 4 for images of 96 x 96
    config.first_stride = 1  # 2 for images of 96 x 96
    config.batchnorm_decay = 0.999  # of the running statistics per step
    config.batchnorm_sync = True  # statistics over the batches of all devices, not per device
    config.mlp_depth, config.mlp_width = 2, 512  # hidden layers
    config.vit_patch = 4  # side of the patches, a divisor of image sides
    config.vit_width, config.vit_depth, config.vit_heads = 128, 6, 4  # of the transformer
    config.compute_dtype = "float32"  # or bfloat16


def grid(
    variant: str,
    fields: tuple[str, ...],
    points: tuple[tuple[float, ...], ...],
    smoke_points: tuple[tuple[float, ...], ...],
) -> ConfigDict:
    """Returns a sweep on CIFAR-10: points (one value per field) on the same seeds.

    The first point is the baseline.
    """
    config = base("cifar10")
    config.experiment, config.point_experiment = "sweep", "supervised"  # of the grid, of a point
    config.fields, config.points = fields, points  # what varies, and its values at each point
    config.table_metrics = ("test/accuracy", "test/mir_64", "test/hdr_64")  # columns of table.md
    config.num_seeds = 3
    metrics = ("test/accuracy", "test/mir_32", "test/hdr_32")
    smoke = SMOKE | {"points": smoke_points, "table_metrics": metrics, "num_seeds": 2}
    return _variants.apply(config, variant, {"cpu": SMALL, "paper": PAPER, "smoke": smoke})
