"""Prompt learning with cross-modal alignment: Song et al. 2024, arXiv:2409.16767; CoOp.

    python -m launch --config=configs/prompt_learning.py:cpu --workdir=runs/prompt_learning
        --config.checkpoint=clip.safetensors --config.data_dir=IMAGES

A context of 16 vectors in front of the class names, the same for all classes, is learned on few
shots, with both towers of CLIP frozen: with cross-entropy alone, and with cross-entropy and CMA at
several weights, of which validation images choose one. checkpoint is a file of weights of OpenAI
or open_clip (vision transformers; a file of torch needs torch), data_dir holds one directory of
images for each class.

Variants:
  cpu: ViT-B/32, 4 shots, one seed; a few seconds a step on two cores.
  paper: 16 shots, three seeds; for an accelerator.
  smoke: a small random model on scikit-learn's digits, seconds; it knows nothing of digits.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "prompt_learning"
    config.seed = 0
    config.num_seeds = 1  # seeds of shots, of the initial context, and of batches

    config.checkpoint = ""  # a file of weights, or "random"
    config.activation = "auto"  # quick_gelu for OpenAI's archives, else gelu; or one of these
    config.vision_heads = 0  # of the image tower; 0: its width / 64
    config.dataset = "directory"  # or "digits", of scikit-learn
    config.data_dir = "images"
    config.train_fraction = 0.5  # of each class, to draw shots from; the rest is the test set
    config.zero_shot_prompt = "a photo of a"

    config.shots = 4  # and min(shots, 4) more of each class for validation
    config.context_tokens = 16
    config.variant = "classwise"  # of the alignment; or "modal", "all"
    config.alignment_weights = (0.1, 0.5, 0.9)  # λ, chosen on validation images
    config.batch_size = 32
    config.num_steps = 200
    config.learning_rate = 2e-3
    config.weight_decay = 0.0

    config.eval_every = 50  # at most; denser before
    config.checkpoint_every = 50
    config.steps_per_call = 1

    if variant == "paper":
        config.num_seeds, config.shots, config.num_steps = 3, 16, 1_000
        config.alignment_weights = (0.1, 0.3, 0.5, 0.7, 0.9)
        config.steps_per_call = 10
    elif variant == "smoke":
        config.checkpoint, config.dataset = "random", "digits"
        config.shots, config.batch_size, config.num_steps = 2, 8, 20
        config.alignment_weights = (0.1, 0.9)
        config.learning_rate = 0.1
        config.eval_every, config.checkpoint_every, config.steps_per_call = 10, 10, 5
    elif variant != "cpu":
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
