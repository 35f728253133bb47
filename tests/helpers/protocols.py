"""Whether an object has what a protocol asks for."""

from __future__ import annotations


def lacking(thing: object, protocol: type) -> set[str]:
    """Names of a protocol's attributes and methods that an object lacks.

    `isinstance` would not do: from Python 3.12 on it does not see the buffers of a PyTorch module.
    """
    methods = {name for name, value in vars(protocol).items() if callable(value) and not name.startswith("_")}
    return {name for name in methods | set(protocol.__annotations__) if not hasattr(thing, name)}
