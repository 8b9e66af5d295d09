"""Few-shot fine-tuning with cross-modal alignment: Song et al. 2024, arXiv:2409.16767.

    python -m launch --config=configs/crossmodal.py:cpu --workdir=runs/crossmodal

Fine-tunes three heads (a linear probe that starts from the text features, a residual adapter of the
images, adapters of images and texts) on frozen features of four image-text models, on a set of
aerial images of 19 classes. Each head is trained with cross-entropy; with cross-entropy on batches
that are half texts; and with cross-entropy and CMA, whose weight is chosen on validation images.
Features are not part of the repository: data_dir, or INFOJAX_CROSSMODAL_DIR, names the directory of
the .npz files. `python -m launch.extract_features` writes one from a directory of images.

Variants:
  cpu: 4.5 minutes on two cores; 1 to 16 shots, five seeds. CMA narrows the modality gap but does
    not change accuracy: of 60 differences (4 models, 3 heads, 5 numbers of shots) one interval
    excludes zero, in favour of CE alone. Texts in the batch help at one and two shots.
  paper: 20 minutes on two cores; twenty seeds.
  smoke: seconds; one file of features, 1 and 2 shots, two seeds.
"""

import os

from ml_collections import ConfigDict

from configs import _variants

_VARIANTS: _variants.Variants = {
    "cpu": {},
    "paper": {"num_seeds": 20},
    "smoke": {
        "features": ("whurs19_clip_vitb32",),
        "num_seeds": 2,
        "shots": (1, 2),
        "heads": ("linear_probe", "two_adapters"),
        "alignment_weights": (0.1, 0.9),
        "adapter_width": 4,
        "batch_size": 8,
        "num_steps": 20,
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "crossmodal"  # the module in launch/experiments
    config.seed = 0  # the first seed
    config.num_seeds = 5  # seeds seed, seed + 1, ... of shots, initial parameters and batches

    config.data_dir = os.environ.get(  # directory of the feature files
        "INFOJAX_CROSSMODAL_DIR", "../shared/crossmodal"
    )
    config.features = (  # files data_dir/NAME.npz
        "whurs19_clip_rn50",
        "whurs19_clip_vitb32",
        "whurs19_clip_vitl14",
        "whurs19_remoteclip_vitb32",
    )
    config.shots = (1, 2, 4, 8, 16)  # per class; min(shots, 4) more for validation

    config.heads = ("linear_probe", "image_adapter", "two_adapters")  # trained on frozen features
    config.adapter_width = 32  # hidden units of an adapter
    config.logit_scale = 100.0  # logits are cosines times this

    config.variant = "classwise"  # of the alignment loss; or "modal", "all"
    config.alignment_weights = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9)  # λ, chosen on validation images
    config.batch_size = 32  # images per update
    config.num_steps = 200  # updates
    config.learning_rates = ConfigDict(  # by head
        {"linear_probe": 3e-4, "image_adapter": 1e-3, "two_adapters": 1e-3}
    )
    config.weight_decay = 0.01  # AdamW's
    config.chance_permutations = 0  # of the test images' labels, for the chance level of MIR
    return _variants.apply(config, variant, _VARIANTS)
