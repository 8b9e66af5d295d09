"""Small files of image and text features, in the format that `infojax.data.few_shot` reads."""

import numpy as np


def normalised(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def arrays(num_classes=3, per_class=14, d=12, num_prompts=4, seed=0):
    """Images around random class directions; texts offset to another region of the sphere."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, d))
    offset = rng.normal(size=d)
    labels = rng.permutation(np.repeat(np.arange(num_classes), per_class)).astype(np.int32)
    images = normalised(centres[labels] + 0.7 * rng.normal(size=(len(labels), d)))
    texts = normalised(
        centres + offset + 0.5 * rng.normal(size=(num_prompts, num_classes, d))
    ).astype(np.float16)
    train = [np.flatnonzero(labels == c)[: per_class // 2] for c in range(num_classes)]
    train = np.sort(np.concatenate(train))
    return {
        "image_features": images.astype(np.float16),
        "labels": labels,
        "text_features": texts,
        "text_features_mean": normalised(texts.astype(np.float32).mean(0)).astype(np.float16),
        "prompts": np.array([f"prompt {i} of a" for i in range(num_prompts)]),
        "class_names": np.array([f"class {c}" for c in range(num_classes)]),
        "train_idx": train.astype(np.int32),
        "test_idx": np.setdiff1d(np.arange(len(labels)), train).astype(np.int32),
    }


def write(directory, name="small", **changes):
    np.savez(directory / f"{name}.npz", **(arrays() | changes))
    return name
