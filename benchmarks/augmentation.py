"""Images per second through RandAugment and cutout: infojax on the device, Pillow on the host."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.race import Outcome, race
from benchmarks.worker import Task, UnsupportedError

_LIMIT = 120.0  # seconds per run
_LABELLED, _UNLABELLED = 64, 448  # images per step; the unlabelled twice, weakly and strongly
_INFOJAX, _WEAK = "infojax", "infojax, with 512 flipped and cropped"
_PILLOW, _PROCESSES = "Pillow, a loop", f"Pillow, {os.cpu_count()} processes of grain"
_STEP = "WideResNet"
_BATCHES = 20  # grain's batches per timing, since it prefetches a few


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Measures images of CIFAR's and STL's size and a training step; returns records and table."""
    step = _step_name(*((10, 1) if quick else (28, 2)))
    records = []
    for size, names in {
        32: (_INFOJAX, _WEAK, _PILLOW, step),
        96: (_INFOJAX, _WEAK, _PILLOW),
    }.items():
        # grain's workers keep prefetching while others are timed, so they race alone.
        for together in (names, (_PROCESSES,)):
            entrants = {name: {"name": name, "size": size} for name in together}
            outcomes = race("benchmarks.augmentation:build", entrants, _LIMIT)
            records += [_record(name, size, outcome) for name, outcome in outcomes.items()]
    text = render(records)
    print(text, flush=True)
    return records, text


def build(name: str, size: int) -> Task:
    """Sets up a contender; entry point of its process."""
    images = _images(size)
    if name.startswith(_STEP):
        depth, width = map(int, name.split(",")[0].split("-")[1:])
        return _training_step(images, depth, width)
    builders: dict[str, Callable[[np.ndarray], Task]] = {
        _INFOJAX: lambda images: _on_device(images, weak=False),
        _WEAK: lambda images: _on_device(images, weak=True),
        _PILLOW: _loop,
        _PROCESSES: _grain,
    }
    return builders[name](images)


def render(records: list[dict[str, Any]]) -> str:
    """Returns the table: time of 448 images, rate, ratios to infojax and to a training step."""
    rows = []
    for r in records:
        row = [r["contender"], f"{r['size']}×{r['size']}"]
        if r["status"] != "ok":
            rows.append([*row, r["status"], "", "", "", ""])
            continue
        own, step = (_seconds_of(records, name, r["size"]) for name in (_INFOJAX, _STEP))
        seconds = r["seconds"] * _UNLABELLED / r["images"]
        row += [tables.seconds(seconds), f"{_UNLABELLED / seconds:,.0f}"]
        row.append(f"{seconds / own:.3g}×" if own else "")
        row.append(f"{seconds / step:.2%}" if step else "")
        row.append(f"{r['equal_to_pillow']} of {_UNLABELLED}" if "equal_to_pillow" in r else "")
        rows.append(row)
    header = ["", "images", "time of 448", "images/s", "ratio to infojax"]
    header += ["share of a training step", "equal to Pillow's"]
    title = "## Strong augmentation: RandAugment (3 of 14 operations) and cutout\n\n"
    return title + tables.markdown(header, rows)


def _record(name: str, size: int, outcome: Outcome) -> dict[str, Any]:
    images = _UNLABELLED * (_BATCHES if name == _PROCESSES else 1)
    return {"contender": name, "size": size, "images": images, **outcome.record()}


def _seconds_of(records: list[dict[str, Any]], name: str, size: int) -> float | None:
    """Seconds of the contender whose name starts with `name` at one size, or None."""
    found = [r for r in records if r["contender"].startswith(name) and r["size"] == size]
    return found[0]["seconds"] if found else None


def _step_name(depth: int, width: int) -> str:
    return f"{_STEP}-{depth}-{width}, a step of {_LABELLED + 2 * _UNLABELLED} images"


def _images(size: int) -> np.ndarray:
    """Smooth images with noise, uint8 [448, size, size, 3]."""
    rng = np.random.default_rng(0)
    slopes = rng.uniform(-1, 1, (2, _UNLABELLED, 1, 1, 3))
    x = np.linspace(-1, 1, size)
    smooth = slopes[0] * x[None, None, :, None] + slopes[1] * x[None, :, None, None]
    noise = rng.normal(size=(_UNLABELLED, size, size, 3))
    return np.clip(128 + 60 * smooth + 15 * noise, 0, 255).astype(np.uint8)


def _on_device(images: np.ndarray, weak: bool) -> Task:
    """Draws and applies strong augmentations; optionally also the weak one, to all 512 images."""
    import jax
    import jax.numpy as jnp

    from benchmarks import reference_augmentation
    from infojax.data import augment, randaugment

    key = jax.random.key(0)
    positions = jnp.arange(_LABELLED + _UNLABELLED, dtype=jnp.int32)

    def both(images):
        strong = randaugment.augment(key, images, positions[:_UNLABELLED])
        rows = positions % _UNLABELLED
        return strong, augment.flip_and_crop(key, images, rows, positions, 4, True) if weak else ()

    held = jax.device_put(images)
    compiled = jax.jit(both).lower(held).compile()

    def report(result: Any) -> dict[str, int]:
        draws = map(np.asarray, randaugment.draw(key, positions[:_UNLABELLED]))
        expected = [
            reference_augmentation.augment(*args) for args in zip(images, *draws, strict=True)
        ]
        equal = np.all(np.asarray(result[0]) == np.stack(expected), axis=(1, 2, 3))
        return {"equal_to_pillow": int(np.sum(equal))}

    return Task(lambda: jax.block_until_ready(compiled(held)), report)


def _loop(images: np.ndarray) -> Task:
    from benchmarks import reference_augmentation

    rng = np.random.default_rng(0)

    def run() -> np.ndarray:
        return np.stack([reference_augmentation.augment_at_random(x, rng) for x in images])

    return Task(run)


def _grain(images: np.ndarray) -> Task:
    """Grain's workers, one per processor, each one batch ahead."""
    try:
        import grain
    except ImportError:
        raise UnsupportedError("not installed") from None
    from absl import flags

    from benchmarks import reference_augmentation

    class Augment(grain.transforms.RandomMap):
        def random_map(self, element, rng):
            return reference_augmentation.augment_at_random(element, rng)

    flags.FLAGS.mark_as_parsed()  # grain reads its own flags
    batches = grain.MapDataset.source(images).seed(0).random_map(Augment()).repeat()
    one_thread = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    workers = grain.MultiprocessingOptions(num_workers=os.cpu_count(), per_worker_buffer_size=1)
    loader = batches.batch(_UNLABELLED).to_iter_dataset(one_thread).mp_prefetch(workers)
    iterator = iter(loader)
    return Task(lambda: [next(iterator) for _ in range(_BATCHES)])


def _training_step(images: np.ndarray, depth: int, width: int) -> Task:
    """One SGD step on 64 + 448 + 448 images without augmentation."""
    import jax
    import jax.numpy as jnp

    from infojax.losses import cross_entropy
    from infojax.models.wide_resnet import WideResNet

    n = _LABELLED + 2 * _UNLABELLED
    model = WideResNet(10, depth, width)
    batch = jnp.asarray(images[np.arange(n) % _UNLABELLED], jnp.float32) / 128 - 1
    labels = jnp.arange(n) % 10
    variables = jax.jit(lambda x: model.init(jax.random.key(0), x, train=False))(batch[:1])

    def loss(params, rest):
        (_, logits), rest = model.apply(
            {"params": params, **rest}, batch, train=True, mutable=["batch_stats"]
        )
        return jnp.mean(cross_entropy(logits, labels)), rest

    @jax.jit
    def step(params, rest):
        gradient, rest = jax.grad(loss, has_aux=True)(params, rest)
        return jax.tree.map(lambda p, g: p - 0.03 * g, params, gradient), rest

    params = variables["params"]
    rest = {"batch_stats": variables["batch_stats"]}
    return Task(lambda: jax.block_until_ready(step(params, rest)))
