"""Runs as read from their directories, for figures and reports."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import read_records, storage
from launch import modules, settings, trained
from launch.trained import Trained

# What image classification ran before these were settings.
_OLDER = {
    "model": "wide_resnet",
    "wide_resnet_form": "tensorflow",
    "image_size": 0,
    "stream": False,
    "information_entropy": "eigenvalues",
    "chance_permutations": 0,
}
# What grokking ran before these were settings.
_OLDER_GROKKING = {
    "init_scale": 1.0,
    "precision": "float32",
    "stop_after": 0,
    "mi_weight": 0.0,
    "id_weight": 0.0,
    "information_batch_size": 256,
    "information_entropy": "eigenvalues",
    "information_until": "",
    "gradient_filter": "none",
    "grokfast_alpha": 0.98,
    "grokfast_window": 100,
    "grokfast_weight": 2.0,
    "early_epoch": 1_000,
    "chance_permutations": 0,
    "progress_measures": False,
}
# What studies of image-text models ran before these were settings.
_OLDER_CROSSMODAL = {"chance_permutations": 0}
_FORMS = {"tensorflow": "", "torchssl": " (TorchSSL)", "usb": " (USB)"}

Record = dict[str, float]
History = list[Record]


class Run(NamedTuple):
    """A run as read from its directory.

    Attributes:
      name: of the directory.
      workdir: the directory.
      config: what ran.
      histories: records in order of steps, one history per seed.
    """

    name: str
    workdir: Path
    config: dict[str, Any]
    histories: list[History]


def load_run(workdir: Path) -> Run:
    """Reads a run's directory.

    Raises:
      UserError: it is not a run.
    """
    found = [p for p in workdir.glob("seed-*") if p.name.removeprefix("seed-").isdecimal()]
    seeds = sorted(found, key=lambda p: int(p.name.removeprefix("seed-")))
    config = read_config(workdir)
    histories = [h for h in map(read_records, seeds or [workdir]) if h and h[-1]["step"] > 0]
    return Run(workdir.resolve().name, workdir, config, histories)


def load(workdir: str | Path, seed: int | None = None) -> Trained:
    """Reads a trained network; changes nothing, and is safe while another process trains it.

    Args:
      workdir: directory of a run of image classification or grokking, or of a point of a grid.
      seed: which seed of a run of several; None for the first.

    Returns:
      Its config, records, evaluated parameters and features: see `Trained`.

    Raises:
      UserError: it is not such a run, has no such seed, or holds no intact checkpoint yet.
    """
    seeds, read = _readable(Path(workdir))
    if seed is not None and seed not in seeds:
        known = ", ".join(map(str, seeds))
        raise UserError(f"{workdir} is a run of seed {known}, not of seed {seed}")
    return read(seeds[0] if seed is None else seed)


def load_seeds(workdir: str | Path) -> list[Trained]:
    """Reads all seeds of a run as `load` does; they share a network, which is compiled once."""
    seeds, read = _readable(Path(workdir))
    return [read(seed) for seed in seeds]


def _readable(workdir: Path) -> tuple[list[int], Callable[[int], Trained]]:
    """Returns the seeds of a run, and a function that reads one of them."""
    config = settings.copied(ConfigDict(read_config(workdir)))
    module = modules.find(config.experiment, "experiment", ())
    if not hasattr(module, "read_network"):
        grid = (workdir / "points").is_dir()
        hint = f"; load one of the runs in {workdir / 'points'}" if grid else ""
        raise UserError(
            f"{workdir} is a run of {config.experiment}, which keeps no single network{hint}"
        )
    seeds = list(range(config.seed, config.seed + config.num_seeds))
    places = {s: workdir if len(seeds) == 1 else workdir / f"seed-{s}" for s in seeds}
    network = module.read_network(config, places[seeds[0]])
    return seeds, lambda seed: trained.read(workdir, config, seed, places[seed], network)


def read_config(workdir: Path) -> dict[str, Any]:
    """Returns what ran in a directory.

    Raises:
      UserError: it is not a run.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} is not a run: it has no config.json")
    config = storage.read_object(path)
    if config is None or "experiment" not in config:
        raise UserError(f"{path} is damaged: it holds no config of an experiment")
    return completed(config)


def read_summary(workdir: Path) -> dict[str, Any]:
    """Returns the summary of a study.

    Raises:
      UserError: there is none yet, or it is damaged.
    """
    path = workdir / "summary.json"
    if not path.exists():
        raise UserError(f"{workdir} holds no finished point yet: it has no summary.json")
    found = storage.read_object(path)
    if not found:
        raise UserError(f"{path} is damaged; the command that ran the study writes it again")
    return found


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a config with the settings that older versions lacked, as they were then fixed."""
    if "modulus" in config:
        return _OLDER_GROKKING | config
    if "alignment_weights" in config:
        return _OLDER_CROSSMODAL | config
    return _OLDER | config if "first_stride" in config else config


def model_name(config: Mapping[str, Any]) -> str:
    """Describes the network of image classification, such as "WideResNet-28-2"."""
    match config["model"]:
        case "wide_resnet":
            form = _FORMS[config["wide_resnet_form"]]
            stride = f", stride {config['first_stride']}" if config["first_stride"] > 1 else ""
            return f"WideResNet-{config['depth']}-{config['width']}{form}{stride}"
        case "mlp":
            return f"MLP-{config['mlp_depth']}x{config['mlp_width']}"
        case "vit":
            return f"ViT-{config['vit_depth']}x{config['vit_width']}/{config['vit_patch']}"
        case function:
            return str(function)


def num_classes(runs: list[Run]) -> int | None:
    """Returns the number of classes of runs of image classification.

    None if they differ, or if a run is older than the description of its data.
    """
    found = {_described_classes(run.workdir) for run in runs}
    return found.pop() if len(found) == 1 else None


def _described_classes(workdir: Path) -> int | None:
    for path in workdir.rglob("data.json"):
        found = (storage.read_object(path) or {}).get("num_classes")
        if isinstance(found, int):
            return found
    return None


def the_only(runs: list[Run]) -> Run:
    """Returns the one run in a list.

    Raises:
      UserError: there are several, and the figures of this experiment have too many panels to
        share axes.
    """
    if len(runs) > 1:
        raise UserError(f"runs of {runs[0].config['experiment']} are drawn one at a time")
    return runs[0]


def evaluated_split(config: Mapping[str, Any]) -> str:
    """Returns the name of the split that a run of image classification evaluates on."""
    return "validation" if config["validation_fraction"] else "test"
