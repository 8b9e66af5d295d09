"""Small CLIP models with weights from NumPy, and inputs, for infojax and open_clip alike."""

import zlib

import numpy as np
from PIL import Image

EMBED_DIM, IMAGE_SIZE, PATCH, CONTEXT, VOCABULARY = 24, 24, 8, 12, 300
VISION = {"width": 32, "layers": 2, "heads": 2}
TEXT = {"width": 48, "layers": 3, "heads": 4}

PROMPTS = [
    "a photo of a cat.",
    "a bad satellite image of the football field",
    "Airport",
    "  two   spaces\tand a tab ",
    "it's the dog's, isn't it? they'll say we've 365 days!",
    "naïve café in São Paulo, 東京 and Москва",
    "fish &amp; chips &lt;hot&gt;",
    "",
    "<start_of_text> is no word",
    "snake_case, kebab-case: (brackets) [and] #hash @at 50% $5 10/2=5",
    "emoji 🚀 and ½",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "a very long text " * 30,
]


def shapes(vision=VISION, text=TEXT, context=CONTEXT, vocabulary=VOCABULARY):
    """Shapes by name in open_clip's state dict of a CLIP with a vision transformer."""
    of = {
        "logit_scale": (),
        "positional_embedding": (context, text["width"]),
        "text_projection": (text["width"], EMBED_DIM),
        "token_embedding.weight": (vocabulary, text["width"]),
        "visual.class_embedding": (vision["width"],),
        "visual.positional_embedding": ((IMAGE_SIZE // PATCH) ** 2 + 1, vision["width"]),
        "visual.proj": (vision["width"], EMBED_DIM),
        "visual.conv1.weight": (vision["width"], 3, PATCH, PATCH),
    }
    for prefix, tower in (("visual.", vision), ("", text)):
        w = tower["width"]
        norms = ["visual.ln_pre", "visual.ln_post"] if prefix else ["ln_final"]
        for i in range(tower["layers"]):
            block = f"{prefix}transformer.resblocks.{i}."
            of[f"{block}attn.in_proj_weight"], of[f"{block}attn.in_proj_bias"] = (
                (3 * w, w),
                (3 * w,),
            )
            for name, rows, columns in (
                ("attn.out_proj", w, w),
                ("mlp.c_fc", 4 * w, w),
                ("mlp.c_proj", w, 4 * w),
            ):
                of[f"{block}{name}.weight"], of[f"{block}{name}.bias"] = (rows, columns), (rows,)
            norms += [f"{block}ln_1", f"{block}ln_2"]
        for name in norms:
            of[f"{name}.weight"] = of[f"{name}.bias"] = (w,)
    return of


def array(name, shape):
    """Random weights determined by the name, large enough for each to matter."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    x = rng.normal(size=shape)
    if ".ln_" in name or name.startswith("ln_"):
        return (name.endswith("weight") + 0.2 * x).astype(np.float32)
    if name.endswith("bias") or "embedding" in name:
        return (0.5 * x).astype(np.float32)
    fan_in = np.prod(shape[1:]) if len(shape) != 2 or "proj" not in name else shape[-1]
    return (1.5 * x / np.sqrt(max(1, fan_in))).astype(np.float32)


def state_dict(**sizes):
    return {name: np.asarray(array(name, shape)) for name, shape in shapes(**sizes).items()}


def images():
    return np.random.default_rng(1).normal(size=(3, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float32)


def tokens():
    rng = np.random.default_rng(2)
    rows = rng.integers(1, VOCABULARY - 2, (4, CONTEXT))
    rows[:, 0] = VOCABULARY - 2
    for row, end in zip(rows, (2, 5, 8, CONTEXT - 1), strict=True):
        row[end] = VOCABULARY - 1
        row[end + 1 :] = 0
    return rows.astype(np.int32)


def pictures():
    """Images of several sizes and modes with smooth random colours."""
    rng = np.random.default_rng(3)
    result = []
    for size, mode in (((53, 37), "RGB"), ((24, 61), "L"), ((19, 30), "RGBA"), ((24, 24), "RGB")):
        small = Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8))
        result.append(small.resize(size, Image.Resampling.BILINEAR).convert(mode))
    return result
