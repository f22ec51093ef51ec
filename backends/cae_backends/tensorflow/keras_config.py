"""The configuration of a Keras model, checked before Keras builds anything: only Keras' own layers and functions.

A configuration names classes and functions, and Keras looks them up and calls them. Its own safe mode forbids what is
known to be harmful; here only what belongs into a model is let through.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from cae_backends.tensorflow.runtime import load_keras

__all__ = ["Refusal", "code_holders", "refusals"]

_Json: TypeAlias = Any

Refusal: TypeAlias = tuple[str, str]
"""The name of what is refused, and what is to be said of it."""

_CODE = frozenset({"Lambda", "__lambda__", "TorchModuleWrapper"})
"""Pickled Python."""

_OUTSIDE = frozenset({"FlaxLayer", "JaxLayer", "TFSMLayer"})
"""They run what another file or another framework holds."""

_TABLES = frozenset({"FeatureSpace", "IndexLookup", "IntegerLookup", "StringLookup", "TextVectorization"})
"""They look words up, perhaps in a file that the configuration names."""

_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__"}
)
"""How Keras writes plain values."""

_CLASSES = re.compile(
    r"keras(\.src)?(\.(activations|constraints|dtype_policies|initializers|layers|losses|metrics|models|ops|"
    r"optimizers|quantizers|random|regularizers)(\.[a-z0-9_.]+)?)?"
)
_APPLICATIONS = "keras.src.applications."
_FUNCTIONS = re.compile(r"keras(\.src)?\.(activations|losses|metrics|ops)(\.[a-z0-9_.]+)?")
_BUILTIN = ("activations", "losses", "metrics", "ops")
"""Where Keras looks for a function of which only the name is written."""

_RESOLVERS = frozenset({"deserialize", "get", "serialize"})
"""Functions beside those that compute: they would look further names up."""


def code_holders(config: _Json) -> list[str]:
    """Return the names of the layers that are pickled code, or that have some among their arguments."""
    named = ((owner, described["class_name"]) for owner, described in _described(config))
    return sorted({owner for owner, name in named if isinstance(name, str) and name in _CODE})


def refusals(config: _Json) -> Iterator[Refusal]:
    """Yield what a configuration names and a classifier of images has no use for, pickled code apart."""
    for owner, described in _described(config):
        name = described["class_name"]
        if not isinstance(name, str):
            yield owner, "its class has no name"
        elif name not in _CODE | _VALUES:
            reason = _reason(name, described)
            if reason:
                yield owner, reason


def _reason(name: str, described: Mapping[str, _Json]) -> str:
    """Return what speaks against a class or function; empty: nothing."""
    # whatever it is registered as: the older format goes by the name of the class alone
    if name in _OUTSIDE:
        return f"{name} runs what lies outside of the file"
    if name in _TABLES:
        return f"{name} looks words up, perhaps in a file, and a classifier of images has none"
    if name[:1].islower() and hasattr(load_keras().src.layers, name):
        return f"{name!r} is no class of layers"
    return "" if _registered(described) else _reason_against_foreign(name, described)


def _reason_against_foreign(name: str, described: Mapping[str, _Json]) -> str:
    module = described.get("module") or ""
    if name == "function":
        return _reason_against_function(described.get("config"), module)
    if isinstance(module, str) and module.startswith(_APPLICATIONS):  # such as ConvNeXt's layers; functions download
        return (
            "" if isinstance(getattr(sys.modules.get(module), name, None), type) else f"{name!r} is no class of layers"
        )
    if not isinstance(module, str) or (module and not _CLASSES.fullmatch(module)):
        return f"the layer class {name!r} is not registered"
    return "" if re.fullmatch(r"[A-Z]\w*", name) else f"the layer class {name!r} is not registered"


def _reason_against_function(name: _Json, module: _Json) -> str:
    if not isinstance(name, str) or not isinstance(module, str):
        return "its function has no name"
    if name in _RESOLVERS:
        return f"the function {name!r} computes nothing"
    if module in ("", "builtins"):
        keras = load_keras()
        known = any(hasattr(getattr(keras, part), name) for part in _BUILTIN)
        return "" if known else f"the function {name!r} is not registered"
    return "" if _FUNCTIONS.fullmatch(module) else f"the function {module}.{name} belongs into no model"


def _registered(described: Mapping[str, _Json]) -> bool:
    """Whether the caller's own code has registered this class or function."""
    found = load_keras().saving.get_registered_object
    inner = described.get("config")
    names = (described.get("registered_name"), inner if described["class_name"] == "function" else None)
    own = described["class_name"] if not described.get("registered_name") else None
    return any(isinstance(name, str) and found(name) is not None for name in (*names, own))


def _described(config: _Json) -> Iterator[tuple[str, Mapping[str, _Json]]]:
    """Yield what a configuration describes as a class, with the name of the layer that it belongs to."""
    if isinstance(config, dict):  # models are opened without being compiled: nobody looks at this part
        config = {key: part for key, part in config.items() if key != "compile_config"}
    waiting: list[tuple[str, _Json]] = [("the model", config)]
    while waiting:  # no recursion: the depth is the file's
        owner, part = waiting.pop()
        if isinstance(part, list):
            waiting.extend((owner, one) for one in part)
        elif isinstance(part, dict):
            inner = part.get("config")
            named = inner.get("name") if isinstance(inner, dict) else None
            owner = named if isinstance(named, str) else owner
            if "class_name" in part:
                yield owner, part
            waiting.extend((owner, one) for one in part.values())
