"""What an image classifier is to the experiments: three functions, whichever library it is from."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn, nnx
from jax.typing import ArrayLike

from infojax.errors import UserError

_STATISTICS = "batch_stats"

Params = Any  # a tree of floating arrays
State = dict[str, Any]  # what a network keeps beside its parameters, by kind, such as batch_stats
Init = Callable[[jax.Array, ArrayLike], tuple[Params, State]]
Apply = Callable[[Params, State, jax.Array, bool], tuple[jax.Array, jax.Array, State]]
HeadOf = Callable[[Params], tuple[jax.Array, jax.Array]]


class Classifier(NamedTuple):
    """An image classifier as pure functions, which run under jit, pmap and scan.

    Attributes:
      init: `init(key, images)` draws parameters and state for images [n, h, w, channels]. Leaves of
        the state are floating: training averages them over devices.
      apply: `apply(params, state, images, train)` returns features [n, d], logits [n, C] and the
        state, which training updates and evaluation leaves unchanged. Other entries of the state
        (of training methods) are returned unchanged. `train` is a Python bool.
      head_of: head rows w [C, d] and biases b [C] from the parameters: the logits are
        `features @ w.T + b`.
    """

    init: Init
    apply: Apply
    head_of: HeadOf


def of_linen(
    module: nn.Module,
    head: str | HeadOf = "head",
    collections: tuple[str, ...] = (_STATISTICS,),
) -> Classifier:
    """Returns the classifier of a Flax linen module.

    Args:
      module: called as `module(images, train)`; returns features and logits.
      head: path of the last dense layer in the parameters, such as "decoder/head", or a function
        of the parameters.
      collections: kinds of variables, besides parameters, that the module may have and update.

    Raises:
      UserError: the module takes other arguments.

    >>> class Network(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, images, train):
    ...         z = nn.relu(nn.Dense(4)(images.reshape(len(images), -1)))
    ...         return z, nn.Dense(3, name="head")(z)
    >>> network = of_linen(Network())
    >>> params, state = network.init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
    >>> network.head_of(params)[0].shape, state
    ((3, 4), {})
    """
    if not takes(module, "images", "train"):
        raise UserError(f"{type(module).__name__} must be called as module(images, train)")

    def init(key: jax.Array, images: ArrayLike) -> tuple[Params, State]:
        variables = dict(module.init(key, images, False))
        params = variables.pop("params", {})
        unknown = sorted(variables.keys() - set(collections))
        if unknown:
            raise UserError(
                f"the model has variables of the kind {unknown[0]!r}; name all kinds but params in "
                f"of_linen(..., collections={(*collections, *unknown)})"
            )
        return params, variables

    def apply(
        params: Params, state: State, images: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, State]:
        own = {name: state[name] for name in collections if name in state}
        variables = {"params": params, **own}
        if not train:
            return *_pair(module.apply(variables, images, False)), state
        outputs, updated = module.apply(variables, images, True, mutable=list(own))
        return *_pair(outputs), {**state, **updated}

    return Classifier(init, apply, _head_at(head) if isinstance(head, str) else head)


def of_nnx(make: Callable[[nnx.Rngs], nnx.Module], head: str | HeadOf = "head") -> Classifier:
    """Returns the classifier of a Flax NNX module.

    Args:
      make: returns a new module, its parameters drawn from the random streams it is given. The
        module is called as `module(images)` after `module.train()` or `module.eval()`, and returns
        features and logits.
      head: path of the last linear layer, such as "decoder/head", or a function of the parameters,
        a tree of dicts.

    >>> class Network(nnx.Module):
    ...     def __init__(self, rngs):
    ...         self.hidden, self.head = nnx.Linear(4, 5, rngs=rngs), nnx.Linear(5, 3, rngs=rngs)
    ...     def __call__(self, images):
    ...         z = nnx.relu(self.hidden(images.reshape(len(images), -1)))
    ...         return z, self.head(z)
    >>> network = of_nnx(Network)
    >>> params, state = network.init(jax.random.key(0), jnp.ones((1, 2, 2, 1)))
    >>> network.head_of(params)[0].shape, state
    ((3, 5), {})
    """
    graph, *templates = _split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))

    def init(key: jax.Array, images: ArrayLike) -> tuple[Params, State]:
        _, params, statistics = _split(make(nnx.Rngs(key)))
        state = {_STATISTICS: nnx.to_pure_dict(statistics)} if statistics else {}
        return nnx.to_pure_dict(params), state

    def apply(
        params: Params, state: State, images: jax.Array, train: bool
    ) -> tuple[jax.Array, jax.Array, State]:
        own = state.get(_STATISTICS, {})
        module = nnx.merge(graph, *map(_filled, templates, (params, own)))
        if train:
            module.train()
        else:
            module.eval()
        features, logits = _pair(module(images))
        if train and own:
            state = {**state, _STATISTICS: nnx.to_pure_dict(_split(module)[2])}
        return features, logits, state

    return Classifier(init, apply, _head_at(head) if isinstance(head, str) else head)


def _split(module: nnx.Module) -> tuple[Any, Any, Any]:
    """Graph, parameters and BatchNorm statistics of an NNX module."""
    parts: Any = nnx.split(module, nnx.Param, nnx.BatchStat, ...)
    graph, params, statistics, rest = parts
    if rest:
        [(path, variable), *_] = nnx.to_flat_state(rest)
        name, kind = "/".join(map(str, path)), type(variable).__name__
        raise UserError(
            f"the model's {name} is a {kind}; only Param and BatchStat are supported (random "
            "streams, such as Dropout's, are not)"
        )
    return graph, params, statistics


def _filled(template: Any, values: Any) -> Any:
    """A copy of an NNX state with other values, from dicts."""
    state = jax.tree.map(lambda x: x, template)
    nnx.replace_by_pure_dict(state, values)
    return state


def takes(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a function can be called with positional arguments.

    >>> takes(lambda images: images, 1, 2)
    False
    """
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    return True


def _pair(outputs: Any) -> tuple[jax.Array, jax.Array]:
    """Features and logits."""
    if not isinstance(outputs, tuple) or len(outputs) != 2:
        found = f"{len(outputs)} values" if isinstance(outputs, tuple) else type(outputs).__name__
        raise UserError(f"the model must return features and logits, but it returns {found}")
    features, logits = outputs
    return features, logits


def _head_at(path: str) -> HeadOf:
    """Rows and biases of the dense layer at a path."""

    def head_of(params: Params) -> tuple[jax.Array, jax.Array]:
        layer = params
        for name in path.split("/"):
            if not isinstance(layer, Mapping) or name not in layer:
                names = ", ".join(params)
                raise UserError(f"the model has no head at {path!r}; its parameters hold {names}")
            layer = layer[name]
        if not isinstance(layer, Mapping) or "kernel" not in layer:
            raise UserError(f"the model's head at {path!r} is not a dense layer: it has no kernel")
        kernel = layer["kernel"]
        bias = layer["bias"] if "bias" in layer else jnp.zeros(kernel.shape[-1], kernel.dtype)
        return kernel.T, bias

    return head_of
