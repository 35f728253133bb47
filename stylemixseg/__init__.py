"""The method: network-free, unsupervised semantic segmentation with synthetic images (Feng et al., CVPR 2023)."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# What most users need, imported on first use: torch and faiss take seconds, and `--help` needs neither.
_EXPORTS = {
    "CATALOGUE": "generators.zoo",
    "load_generator": "generators.zoo",
    "seeded_z": "generators.base",
    "draw_style_latents": "mixing",
    "mix_styles": "mixing",
    "SegmenterConfig": "settings",
    "MixPlan": "settings",
    "StyleMixSegmenter": "segmenter",
    "CornerMinority": "foreground",
    "Saliency": "foreground",
}
__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
