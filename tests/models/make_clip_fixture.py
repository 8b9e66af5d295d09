"""Writes open_clip.npz: the outputs of open_clip for the inputs in clip_problems.py.

In a separate environment (torch is large), from the repository's root:

    pip install torch torchvision open_clip_torch && python -m tests.models.make_clip_fixture
"""

from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import image_transform

from tests.models import clip_problems as problems


def model(quick_gelu):
    """open_clip's model with the weights of clip_problems.py."""
    vision = {"image_size": problems.IMAGE_SIZE, "patch_size": problems.PATCH, **problems.VISION}
    vision["head_width"] = vision["width"] // vision.pop("heads")
    text = {
        "context_length": problems.CONTEXT,
        "vocab_size": problems.VOCABULARY,
        **problems.TEXT,
    }
    built = open_clip.model.CLIP(problems.EMBED_DIM, vision, text, quick_gelu=quick_gelu).eval()
    built.load_state_dict({k: torch.tensor(v) for k, v in problems.state_dict().items()})
    return built


@torch.no_grad()
def outputs():
    """All outputs by name."""
    result = {}
    for quick_gelu in (False, True):
        built = model(quick_gelu)
        images = torch.tensor(problems.images().transpose(0, 3, 1, 2))
        tokens = torch.tensor(problems.tokens(), dtype=torch.long)
        result[f"images_{quick_gelu}"] = built.encode_image(images).numpy()
        result[f"texts_{quick_gelu}"] = built.encode_text(tokens).numpy()
    transform = image_transform(problems.IMAGE_SIZE, is_train=False)
    pixels = [transform(picture).numpy().transpose(1, 2, 0) for picture in problems.pictures()]
    result["pixels"] = np.stack(pixels)
    result["tokens"] = open_clip.tokenize(problems.PROMPTS).numpy().astype(np.int32)
    return result


if __name__ == "__main__":
    arrays = outputs()
    np.savez_compressed(Path(__file__).parent / "open_clip.npz", **arrays)
    print({name: array.shape for name, array in arrays.items()})
