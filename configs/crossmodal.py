"""Few-shot fine-tuning with cross-modal alignment: Song et al. 2024, arXiv:2409.16767.

    python -m launch --config=configs/crossmodal.py:cpu --workdir=runs/crossmodal

On frozen features of four image-text models on a set of aerial images of 19 classes: a linear probe
that starts from the text features, a residual adapter of the images, adapters of both sides;
trained with cross-entropy, with texts as half of each batch, and with cross-entropy and CMA, its
weight chosen on validation images. Features are not part of the repository: data_dir, or
INFOJAX_CROSSMODAL_DIR, names the directory of the .npz files; `python -m launch.extract_features`
writes one from a directory of images.

Variants:
  cpu: 1, 2, 4, 8, 16 shots, five seeds of shots; 4.5 minutes on two cores. CMA narrows the modality
    gap but does not change accuracy: of 60 differences (4 models, 3 heads, 5 numbers of shots) one
    interval leaves out zero, on the side of CE alone. Texts in the batch help at one and two shots.
  paper: twenty seeds, 20 minutes.
  smoke: one file, 1 and 2 shots, two seeds, seconds.
"""

import os

from ml_collections import ConfigDict


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "crossmodal"
    config.seed = 0
    config.num_seeds = 5  # seeds seed, seed + 1, ... of shots, initial parameters and batches

    config.data_dir = os.environ.get("INFOJAX_CROSSMODAL_DIR", "../shared/crossmodal")
    config.features = (  # files data_dir/NAME.npz
        "whurs19_clip_rn50",
        "whurs19_clip_vitb32",
        "whurs19_clip_vitl14",
        "whurs19_remoteclip_vitb32",
    )
    config.shots = (1, 2, 4, 8, 16)  # and min(shots, 4) more of each class for validation

    config.heads = ("linear_probe", "image_adapter", "two_adapters")
    config.adapter_width = 32
    config.logit_scale = 100.0

    config.variant = "classwise"  # of the alignment; or "modal", "all"
    config.alignment_weights = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9)  # λ, chosen on validation images
    config.batch_size = 32
    config.num_steps = 200
    config.learning_rates = ConfigDict(
        {"linear_probe": 3e-4, "image_adapter": 1e-3, "two_adapters": 1e-3}
    )
    config.weight_decay = 0.01

    if variant == "paper":
        config.num_seeds = 20
    elif variant == "smoke":
        config.features = ("whurs19_clip_vitb32",)
        config.num_seeds, config.shots = 2, (1, 2)
        config.heads = ("linear_probe", "two_adapters")
        config.alignment_weights = (0.1, 0.9)
        config.adapter_width, config.batch_size, config.num_steps = 4, 8, 20
    elif variant != "cpu":
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
