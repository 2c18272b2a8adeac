"TokenBridge: continuous tokens for the eye, discrete tokens for the model."
from typing import TYPE_CHECKING

if TYPE_CHECKING:   # for editors and type checkers; at run time see below
    from .pipeline import TokenBridge
    from .quantizer import Quantizer
    from .vae import VAE

__version__ = "0.1.0"
__all__ = ["VAE", "Quantizer", "TokenBridge"]

_HOME = {"VAE": "vae", "Quantizer": "quantizer", "TokenBridge": "pipeline"}


def __getattr__(name: str):
    "Import the three nouns on first use, so that `import tokenbridge` costs nothing."
    if name not in _HOME:
        raise AttributeError(f"module 'tokenbridge' has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(f"tokenbridge.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
