"""Which data sets are on this machine, without reading them."""

import os
from pathlib import Path

from infojax.data import hub, images

_PREPARED = ("*/*/dataset_info.json", "*/*/*/dataset_info.json")  # NAME[/CONFIG]/VERSION


def tfds_directory(data_dir: str = "") -> Path:
    """Returns where TFDS looks: data_dir, else TFDS_DATA_DIR, else its default."""
    named = data_dir or os.environ.get("TFDS_DATA_DIR")
    return Path(named).expanduser() if named else Path.home() / "tensorflow_datasets"


def prepared(directory: Path) -> list[str]:
    """Returns the names of the TFDS data sets in a directory, such as `cifar10`."""
    files = [path for pattern in _PREPARED for path in directory.glob(pattern)]
    return sorted({path.relative_to(directory).parts[0] for path in files})


def found(name: str, data_dir: str = "") -> bool:
    """Whether the data set that `images.load` reads under a name is on this machine."""
    if name == images.DIGITS:
        return True
    if name.startswith(hub.PREFIX):
        return Path(name.removeprefix(hub.PREFIX)).is_dir()
    if not images.from_tfds(name):
        return Path(name).expanduser().exists()
    return name.partition(":")[0].partition("/")[0] in prepared(tfds_directory(data_dir))
