"""The ONNX operators that become white boxes, from the registry that the conversion reads."""

from collections import defaultdict

from cae_site.tables import code, table

__all__ = ["operators"]


def operators() -> str:
    """Return a table: operator, the versions of it that are converted, and by whom."""
    return table(
        ["operator", "by this project, at version", "by onnx2torch, at version"],
        [(code(name), _numbers(ours), _numbers(theirs)) for name, (ours, theirs) in sorted(_registered().items())],
    )


def _registered() -> dict[str, tuple[list[int], list[int]]]:
    from onnx2torch.node_converters import registry

    from cae_backends.torch.onnx_operators import is_ours, register_operators

    register_operators()
    found: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for key in registry._CONVERTER_REGISTRY:  # it has no public list
        if not key.domain:
            ours, theirs = found[key.operation_type]
            (ours if is_ours(key.operation_type, key.version) else theirs).append(key.version)
    return dict(found)


def _numbers(versions: list[int]) -> str:
    return ", ".join(map(str, sorted(versions)))
