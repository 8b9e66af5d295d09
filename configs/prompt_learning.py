"""Prompt learning (CoOp) with cross-modal alignment: Song et al., arXiv:2409.16767.

    python -m launch --config=configs/prompt_learning.py:cpu --workdir=runs/prompt_learning
        --config.checkpoint=clip.safetensors --config.data_dir=IMAGES

Learns a context of 16 vectors in front of the class names, shared by all classes, from few shots,
with both towers of CLIP frozen: with cross-entropy alone, and with cross-entropy and CMA at several
weights, one of which is chosen on validation images. checkpoint is a file of OpenAI or open_clip
weights (vision transformers; a torch file needs torch), data_dir holds one directory of images per
class.

Variants:
  cpu: a few seconds per step on two cores; 4 shots, one seed. ViT-B/32.
  paper: for an accelerator; 16 shots, three seeds.
  smoke: seconds; a small random model on digits, at chance.
"""

from ml_collections import ConfigDict

from configs import _variants

_VARIANTS: _variants.Variants = {
    "cpu": {},
    "paper": {
        "num_seeds": 3,
        "shots": 16,
        "num_steps": 1_000,
        "alignment_weights": (0.1, 0.3, 0.5, 0.7, 0.9),
        "steps_per_call": 10,
    },
    "smoke": {
        "checkpoint": "random",
        "dataset": "digits",
        "shots": 2,
        "batch_size": 8,
        "num_steps": 20,
        "alignment_weights": (0.1, 0.9),
        "learning_rate": 0.1,
        "eval_every": 10,
        "checkpoint_every": 10,
        "steps_per_call": 5,
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "prompt_learning"  # the module in launch/experiments
    config.seed = 0  # the first seed
    config.num_seeds = 1  # seeds of shots, initial context and batches

    config.checkpoint = ""  # a file of weights, or "random"
    config.activation = "auto"  # quick_gelu for OpenAI's archives, otherwise gelu; or one of these
    config.vision_heads = 0  # of the image tower; 0: its width / 64
    config.dataset = "directory"  # or "digits", from scikit-learn
    config.data_dir = "images"  # one directory of images per class
    config.train_fraction = 0.5  # per class, to draw shots from; the rest is the test set
    config.zero_shot_prompt = "a photo of a"  # before the class name, without learning

    config.shots = 4  # per class; min(shots, 4) more for validation
    config.context_tokens = 16  # learned vectors before the class name
    config.variant = "classwise"  # of the alignment loss; or "modal", "all"
    config.alignment_weights = (0.1, 0.5, 0.9)  # λ, chosen on validation images
    config.batch_size = 32  # images per update
    config.num_steps = 200  # updates; the learning rate rises, then follows a cosine
    config.learning_rate = 2e-3  # its highest value
    config.weight_decay = 0.0  # AdamW's
    config.chance_permutations = 0  # of the test images' labels, for the chance level of MIR

    config.eval_every = 50  # at most; more often at the start
    config.checkpoint_every = 50  # steps; a run resumes from its last checkpoint
    config.steps_per_call = 1  # updates per call of the compiled program
    return _variants.apply(config, variant, _VARIANTS)
