"""CLIP weights from the state dicts of OpenAI and open_clip, in safetensors or torch files."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.models.clip import CLIP, Architecture, Tower

StateDict = dict[str, np.ndarray]

_HEAD_WIDTH = 64  # of all heads in OpenAI's models and of the text towers in open_clip's
_NO_WEIGHTS = {"input_resolution", "context_length", "vocab_size", "attn_mask"}
_IS_OPENAI = {"input_resolution", "context_length", "vocab_size"}


def load(
    path: Path,
    quick_gelu: bool | None = None,
    vision_heads: int | None = None,
    text_heads: int | None = None,
) -> tuple[CLIP, Any]:
    """Loads a CLIP model with a vision transformer.

    Args:
      path: `.safetensors`, or a torch file (which needs torch): a state dict, a training
        checkpoint of open_clip, or an archive of OpenAI.
      quick_gelu: see `Architecture`; a state dict does not record it. None: True for OpenAI's
        archives, else False. (The `-quickgelu` models of open_clip need True.)
      vision_heads: number of heads of the image tower; None: width / 64.
      text_heads: number of heads of the text tower; None: width / 64.

    Returns:
      The model and its parameters, float32.

    Raises:
      UserError: the file cannot be read, or holds another architecture.
    """
    state = read_state_dict(path)
    if quick_gelu is None:
        quick_gelu = bool(_IS_OPENAI & state.keys())
    architecture = infer_architecture(path, state, quick_gelu, vision_heads, text_heads)
    model = CLIP(architecture)
    return model, convert(path, state, model)


def read_state_dict(path: Path) -> StateDict:
    """Reads the named arrays of a file.

    Raises:
      UserError: the file does not exist or cannot be read, or a package is missing.
    """
    if not path.exists():
        raise UserError(f"there are no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        return _read_torch(path)
    except ImportError as error:
        package = error.name or "torch"
        raise UserError(
            f"reading {path} needs {package}: pip install {package}"
            + (", or convert it to safetensors elsewhere" if package == "torch" else "")
        ) from error
    except UserError:
        raise
    except Exception as error:  # safetensors and torch raise many types
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _read_torch(path: Path) -> StateDict:
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):  # about archives, see below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is not a torch file that holds only weights") from error
    except RuntimeError:  # OpenAI's files are TorchScript archives
        with warnings.catch_warnings(action="ignore"):  # torch.jit is deprecated
            content = torch.jit.load(path, map_location="cpu").state_dict()
    content = content.get("state_dict", content)
    names = {name.removeprefix("module."): value for name, value in content.items()}
    return {name: value.detach().float().numpy() for name, value in names.items()}


def infer_architecture(
    path: Path,
    state: StateDict,
    quick_gelu: bool,
    vision_heads: int | None = None,
    text_heads: int | None = None,
) -> Architecture:
    """Infers the sizes of a model from the shapes of its arrays; arguments as in `load`.

    Raises:
      UserError: the arrays are not those of a CLIP model with a vision transformer.
    """
    needed = ("visual.conv1.weight", "visual.proj", "text_projection", "token_embedding.weight")
    missing = [name for name in needed if name not in state]
    if missing:
        is_resnet = any(name.startswith("visual.layer1.") for name in state)
        kind = "of a CLIP with a ResNet" if is_resnet else f"without {missing[0]!r}"
        raise UserError(
            f"{path} holds weights {kind}; infojax loads CLIP models with a vision transformer, "
            "with the array names of OpenAI and open_clip"
        )
    width, _, patch_size, _ = state["visual.conv1.weight"].shape
    num_patches = len(state["visual.positional_embedding"]) - 1
    text_width = len(state["text_projection"])
    vision = Tower(width, _layers(state, "visual."), _heads("image", width, vision_heads))
    text = Tower(text_width, _layers(state, ""), _heads("text", text_width, text_heads))
    return Architecture(
        embed_dim=state["text_projection"].shape[1],
        image_size=patch_size * round(num_patches**0.5),
        patch_size=patch_size,
        vision=vision,
        context_length=len(state["positional_embedding"]),
        vocab_size=len(state["token_embedding.weight"]),
        text=text,
        quick_gelu=quick_gelu,
    )


def _heads(tower: str, width: int, heads: int | None) -> int:
    heads = width // _HEAD_WIDTH if heads is None else heads
    if heads < 1 or width % heads:
        raise UserError(
            f"the {tower} tower's width {width} is not divisible by {heads} heads; set its heads"
        )
    return heads


def _layers(state: StateDict, prefix: str) -> int:
    pattern = re.compile(re.escape(prefix) + r"transformer\.resblocks\.(\d+)\.")
    numbers = [int(match[1]) for name in state if (match := pattern.match(name))]
    return max(numbers, default=-1) + 1


def convert(path: Path, state: StateDict, model: CLIP) -> Any:
    """Returns the parameters of the model from a state dict.

    Raises:
      UserError: the names or shapes of the arrays are not the model's.
    """
    params: dict[str, Any] = {}
    for name in sorted(state.keys() - _NO_WEIGHTS):
        *parents, leaf = _path(name)
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = jnp.asarray(_transposed(name, state[name]), jnp.float32)
    _check(path, model, params)
    return params


def _path(name: str) -> list[str]:
    """Converts a name in the state dict to the path in the model's parameters."""
    name = re.sub(r"transformer\.resblocks\.(\d+)\.", r"resblock_\1.", name)
    name = re.sub(r"in_proj_(weight|bias)$", r"in_proj.\1", name.replace(".mlp.", "."))
    *parents, leaf = name.split(".")
    if not name.startswith("visual.") and name != "logit_scale":
        parents.insert(0, "text")
    if leaf == "weight":
        is_norm, is_embedding = parents[-1].startswith("ln_"), parents[-1] == "token_embedding"
        leaf = "scale" if is_norm else "embedding" if is_embedding else "kernel"
    return [*parents, leaf]


def _transposed(name: str, array: np.ndarray) -> np.ndarray:
    """Transposes a kernel from [out, in, ...] to [..., in, out]; returns other arrays unchanged."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    is_kernel = name.endswith("weight") and array.ndim == 2 and "embedding" not in name
    return array.T if is_kernel else array


def _check(path: Path, model: CLIP, params: Any) -> None:
    size, a = model.architecture.image_size, model.architecture
    images, tokens = np.zeros((1, size, size, 3), np.float32), np.zeros((1, 2), np.int32)
    expected = jax.eval_shape(model.init, jax.random.key(0), images, tokens)["params"]
    shapes = [
        {name: np.shape(leaf) for name, leaf in named_leaves(tree)} for tree in (expected, params)
    ]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        wanted, found = (of.get(name) for of in shapes)
        if wanted != found:
            what = f"has shape {found}, not {wanted}"
            what = "is missing" if found is None else what
            what = "is unexpected" if wanted is None else what
            raise UserError(
                f"{path} does not match a CLIP with vision and text transformers of "
                f"{a.vision.layers} and {a.text.layers} layers: {name} {what}"
            )
