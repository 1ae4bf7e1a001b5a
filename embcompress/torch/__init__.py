"""PyTorch: modules that look rows up in a compressed table, models that hold them, saliency.

Needs the extra: ``pip install 'embcompress[torch]'``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Embedding", "EmbeddingBag", "Saliency", "collect_saliency", "load_model"]

if TYPE_CHECKING:
    from embcompress.torch.loading import load_model
    from embcompress.torch.modules import Embedding, EmbeddingBag
    from embcompress.torch.saliency import Saliency, collect_saliency

_HOMES = {
    "Embedding": "embcompress.torch.modules",
    "EmbeddingBag": "embcompress.torch.modules",
    "Saliency": "embcompress.torch.saliency",
    "collect_saliency": "embcompress.torch.saliency",
    "load_model": "embcompress.torch.loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embcompress.torch' has no attribute '{name}'")
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "embcompress.torch needs PyTorch: pip install 'embcompress[torch]'"
        ) from error
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
