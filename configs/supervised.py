"""What the configurations of image classification share; none of them by itself."""

from ml_collections import ConfigDict


def base(dataset: str) -> ConfigDict:
    """Returns the settings of Song et al. 2024, section 5.1, for a data set of 32 x 32 images."""
    config = ConfigDict()
    config.experiment = "supervised"
    config.seed = 0
    config.num_seeds = 1  # seeds seed, seed + 1, ...; with several, each has a directory of its own

    config.dataset = dataset  # digits, or any image classification set of TFDS
    config.data_dir = ""  # where empty: the environment's TFDS_DATA_DIR, or TFDS's default
    config.train_size = 0  # training images to use; 0: all
    config.validation_fraction = 0.0  # share of them to evaluate on, in place of the test split
    config.flip = True
    config.crop_padding = 4

    config.depth = 28
    config.width = 2
    config.num_groups = 3  # 4 for images of 96 x 96
    config.first_stride = 1  # 2 for images of 96 x 96
    config.batchnorm_decay = 0.999
    config.batchnorm_sync = True
    config.compute_dtype = "float32"  # or bfloat16

    config.batch_size = 64  # global
    config.accumulate_steps = 1  # parts of a batch; entropies are then those of a part
    config.num_steps = 2**20
    config.learning_rate = 0.03
    config.momentum = 0.9
    config.weight_decay = 5e-4  # of kernels only
    config.ema_decay = 0.999  # of the parameters that are evaluated; 0: the parameters themselves

    config.label_smoothing = 0.0
    config.mi_weight = 0.0  # the paper does not give the weights of its table 2
    config.id_weight = 0.0
    config.information_terms = "entropies"  # I and |ΔH| in nats; or "ratios": MIR and HDR

    config.eval_every = 2**20 // 100
    config.eval_batch_size = 512  # images of one forward pass
    config.metric_batch_sizes = (64,)  # batches whose MIR and HDR are averaged
    config.population_splits = ()  # splits whose MIR, HDR and neural collapse are measured whole
    config.checkpoint_every = 5000
    config.steps_per_call = 100
    return config


def smoke(config: ConfigDict) -> None:
    """Shrinks a configuration to seconds, on digits."""
    config.dataset = "digits"
    config.flip, config.crop_padding = False, 1
    config.depth, config.width = 10, 1
    config.train_size = 256
    config.num_steps = 12
    config.batch_size = 32
    config.learning_rate = 0.1
    config.batchnorm_decay = config.ema_decay = 0.5
    config.eval_every = config.checkpoint_every = 4
    config.eval_batch_size = 64
    config.metric_batch_sizes = (32,)
    config.population_splits = ("train", "test")
    config.steps_per_call = 3


def small(config: ConfigDict) -> None:
    """A minute of CIFAR-10 on two cores: a strided WideResNet-10-1, three epochs."""
    config.depth, config.width, config.first_stride = 10, 1, 2
    config.batch_size = 128
    config.num_steps = 1200
    config.learning_rate = 0.1
    config.batchnorm_decay = config.ema_decay = 0.99
    config.eval_every = config.checkpoint_every = 400
    config.steps_per_call = 20


def medium(config: ConfigDict) -> None:
    """Minutes of CIFAR on two cores: a strided WideResNet-10-2, eight epochs."""
    config.depth, config.width, config.first_stride = 10, 2, 2
    config.batch_size = 128
    config.num_steps = 3000
    config.learning_rate = 0.1
    config.batchnorm_decay = config.ema_decay = 0.99
    config.population_splits = ("test",)
    config.eval_every = 150
    config.checkpoint_every = 300
    config.steps_per_call = 10
