"""Writes features of the images in a directory, and of its class texts, to one .npz file.

python -m launch.extract_features IMAGES OUT.npz --model=ViT-B-32 --pretrained=openai
python -m launch.extract_features IMAGES OUT.npz --checkpoint=clip.safetensors [--quick-gelu]

IMAGES holds one directory of images per class, named after the class (underscores for spaces).
The first form runs an open_clip model (pip install open_clip_torch; it downloads the weights, or
reads the file given as --pretrained); the second runs infojax's own CLIP on weights from a file.
configs/crossmodal.py runs on the file with

--config.data_dir=DIRECTORY --config.features="('OUT',)"
"""

import argparse
import sys
from pathlib import Path

from infojax.data import image_text
from infojax.errors import UserError
from infojax.models import clip_weights
from launch import encoders

_PREFIXES = ("a photo of a", "a photo of the", "a good photo of a", "a picture of a")


def main(argv: list[str] | None = None) -> int:
    """Writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.extract_features",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, metavar="IMAGES", help="one directory per class")
    parser.add_argument("out", type=Path, metavar="OUT.npz", help="file to write")
    parser.add_argument("--model", help="name of an open_clip model")
    parser.add_argument("--pretrained", help="its weights: a tag of open_clip, or a file")
    parser.add_argument("--checkpoint", type=Path, help="weights for infojax's CLIP")
    parser.add_argument("--quick-gelu", action="store_true", default=None, help="of --checkpoint")
    parser.add_argument("--prompts", type=Path, help="file of prefixes, one per line")
    parser.add_argument("--train-fraction", type=float, default=0.5, help="of each class")
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    arguments = parser.parse_args(argv)
    try:
        write(arguments)
    except (UserError, OSError) as error:
        print(f"launch.extract_features: {error}", file=sys.stderr)
        return 2
    print(arguments.out)
    return 0


def write(arguments: argparse.Namespace) -> None:
    """Writes the file described by the arguments."""
    if arguments.out.suffix != ".npz":
        raise UserError(f"{arguments.out} must end in .npz")
    paths, labels, names = image_text.find_images(arguments.images)
    prefixes = _prefixes(arguments.prompts)
    encoders.write_features(
        arguments.out,
        _encoder(arguments),
        paths,
        labels,
        names,
        prefixes,
        arguments.train_fraction,
        arguments.seed,
    )


def _encoder(arguments: argparse.Namespace) -> encoders.Encoder:
    if (arguments.model is None) == (arguments.checkpoint is None):
        raise UserError("give either --model and --pretrained, or --checkpoint")
    if arguments.checkpoint is not None:
        model, params = clip_weights.load(arguments.checkpoint, arguments.quick_gelu)
        return encoders.of_clip(model, params)
    if arguments.pretrained is None:
        raise UserError("--model needs --pretrained: a tag of open_clip, or a file of weights")
    return encoders.of_open_clip(arguments.model, arguments.pretrained)


def _prefixes(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return _PREFIXES
    lines = tuple(line.strip() for line in path.read_text().splitlines() if line.strip())
    if not lines:
        raise UserError(f"{path} holds no prompts")
    return lines


if __name__ == "__main__":
    sys.exit(main())
