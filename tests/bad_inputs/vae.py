"Bad inputs of `vae`, and the message each must give."
import json
import tempfile
from pathlib import Path

import torch

from tokenbridge import vae as v
from tokenbridge.files import save_tensors

FOLDER = Path(tempfile.mkdtemp())
(FOLDER / "no-vae").mkdir()
(FOLDER / "no-vae" / "config.json").write_text("{}")
(FOLDER / "no-weights").mkdir()
CONFIG = dict(kind="residual", image_size=8, latent_dims=3, factor=4, width=4, multipliers=[1, 2], blocks=1,
              groups=1)
(FOLDER / "no-weights" / "config.json").write_text(json.dumps({"vae": CONFIG}))
save_tensors(FOLDER / "no-weights" / "model.safetensors", {"vae.latent_mean": torch.zeros(3)})
TINY = v.VAE(v.VAEConfig(image_size=8, latent_dims=3, factor=4, width=4))
BIG = v.VAEConfig("kl16", image_size=8, latent_dims=2, factor=2, width=4, multipliers=(1, 1), blocks=1,
                  groups=2)
IMAGES = torch.zeros(2, 3, 8, 8)



def foreign(**changes):
    "A wrapped pair of functions: the mean of squares of 4 x 4 pixels, and back."
    pair = dict(encode=lambda images: torch.nn.functional.avg_pool2d(images, 4),
                decode=lambda latents: torch.nn.functional.interpolate(latents, scale_factor=4.0))
    return v.ForeignVAE(**{**pair, **dict(latent_dims=3, factor=4, image_size=8), **changes})


ROWS = {
    "KeepsFloat32": "internal: a base class without arguments",
    "KL16": "internal: a constant, the configuration of the paper's VAE",
    "VAEConfig": [
        (lambda: v.VAEConfig("vq"), ValueError, "kind: expected one of 'residual', 'kl16', got 'vq'"),
        (lambda: v.VAEConfig(image_size=0), ValueError,
         "image_size: expected an integer of at least 1, got 0"),
        (lambda: v.VAEConfig(image_size=36), ValueError,
         "image_size: expected a multiple of factor 8, got 36"),
        (lambda: v.VAEConfig(factor=6), ValueError, "factor: expected 4 for 2 multipliers"),
        (lambda: v.VAEConfig(multipliers=(1, 0, 1)), ValueError,
         "multipliers: expected an integer of at least 1, got 0"),
        (lambda: v.VAEConfig(factor=1), ValueError, "factor: expected an integer of at least 2, got 1"),
        (lambda: v.VAEConfig("kl16", factor=16, image_size=64, groups=48), ValueError,
         "groups: expected a divisor"),
    ],
    "VAE.encode": [
        (lambda: TINY.encode(torch.zeros(2, 3, 16, 16)), ValueError,
         "images: expected shape (b 3 H W), H = 8, W = 8, got shape (2, 3, 16, 16)"),
        (lambda: TINY.encode(IMAGES.numpy()), ValueError,
         "images: expected a tensor of shape (b 3 H W), got ndarray"),
        (lambda: TINY.encode(IMAGES[:0]), ValueError,
         "number of images: expected an integer of at least 1, got 0"),
        (lambda: TINY.encode(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), ValueError,
         "images: expected float values"),
        (lambda: TINY.encode(torch.full((1, 3, 8, 8), float("nan"))), ValueError,
         "images: expected finite values, got 192"),
    ],
    "VAE.decode": [(lambda: TINY.decode(torch.zeros(2, 4, 2, 2)), ValueError,
                    "latents: expected shape (b d h w), d = 3")],
    "VAE.from_pretrained": [
        (lambda: v.VAE.from_pretrained("no-such-model"), FileNotFoundError, "no-such-model"),
        (lambda: v.VAE.from_pretrained(FOLDER / "no-vae"), ValueError,
         "expected the fields of VAEConfig, got NoneType"),
        (lambda: v.VAE.from_pretrained(FOLDER / "no-weights"), ValueError, "model.safetensors"),
    ],
    "VAE": [(lambda: v.VAE(v.VAEConfig(kind="x")), ValueError, "kind: expected one of")],
    "read_vae": [(lambda: v.read_vae(FOLDER / "nowhere"), FileNotFoundError, "nowhere")],
    "patch_pca": [(lambda: v.patch_pca(IMAGES, 4, 49), ValueError,
                   "dims: expected an integer in [1, 48], got 49")],
    "start_at_pca_": [
        (lambda: v.start_at_pca_(v.VAE(BIG), IMAGES), ValueError,
         "vae.config.kind: expected one of 'residual', got 'kl16'"),
        (lambda: v.start_at_pca_(TINY, torch.zeros(2, 3, 16, 16)), ValueError, "images: expected shape"),
    ],
    "vae_loss": [
        (lambda: v.vae_loss(TINY, torch.zeros(2, 3, 4, 4)), ValueError, "images: expected shape"),
        (lambda: v.vae_loss(TINY, IMAGES, kl_weight=-1), ValueError,
         "kl_weight: expected a number of at least 0, got -1"),
    ],
    "fit_latent_scale_": [
        (lambda: v.fit_latent_scale_(TINY, IMAGES, chunk_size=0), ValueError,
         "chunk_size: expected an integer of at least 1, got 0"),
        (lambda: v.fit_latent_scale_(TINY, torch.zeros(2, 3, 4, 4)), ValueError, "images: expected shape"),
        (lambda: v.fit_latent_scale_(TINY, IMAGES * float("nan")), ValueError,
         "latents of images: expected finite values"),
    ],
    "Posterior": "internal: made by VAE.encode",
    "split_moments": "internal: takes what an encoder gives",
    "perceptual_distance": "internal: called by vae_loss on checked images",
    **{name: "internal: a part of VAE, which checks its images and latents" for name in (
        "zeroed", "PlainBlock", "ResidualEncoder", "ResidualDecoder")},
    **{name: "internal: the name of a type" for name in ("Conv", "AnyAutoencoder", "Function")},
    "Autoencoder": "internal: a base class, whose subclasses check their arguments",
    "images_at_a_time": [(lambda: v.images_at_a_time(0, 1024), ValueError,
                          "chunk_size: expected an integer of at least 1, got 0")],
    "check_autoencoder": [
        (lambda: v.check_autoencoder(torch.nn.Linear(1, 1)), ValueError,
         "got Linear without image_size, latent_dims, grid, encode, decode"),
        (lambda: v.check_autoencoder(None), ValueError, "vae: expected an autoencoder with image_size"),
    ],
    "ForeignVAE": [
        (lambda: foreign(encode=3), ValueError, "encode: expected a function, got int"),
        (lambda: foreign(decode=None), ValueError, "decode: expected a function, got NoneType"),
        (lambda: foreign(latent_dims=0), ValueError, "latent_dims: expected an integer of at least 1, got 0"),
        (lambda: foreign(factor=3), ValueError, "image_size: expected a multiple of factor 3, got 8"),
        (lambda: foreign(module="weights"), ValueError, "module: expected a module or None, got str"),
    ],
    "ForeignVAE.encode": [
        (lambda: foreign().encode(IMAGES[:, :2]), ValueError, "images: expected shape (b 3 H W)"),
        (lambda: foreign(encode=lambda images: None).encode(IMAGES), ValueError,
         "encode: expected a tensor, or mean and std, as its result, got NoneType"),
        (lambda: foreign(latent_dims=4).encode(IMAGES), ValueError,
         "latents of encode: expected shape (b d h w), b = 2, d = 4, h = 2, w = 2, got shape (2, 3, 2, 2)"),
    ],
    "ForeignVAE.decode": [
        (lambda: foreign().decode(torch.zeros(2, 4, 2, 2)), ValueError,
         "latents: expected shape (b d h w), d = 3"),
        (lambda: foreign(decode=lambda latents: latents).decode(torch.zeros(2, 3, 2, 2)), ValueError,
         "images of decode: expected shape (b 3 H W), b = 2, H = 8, W = 8"),
    ],
    "ForeignVAE.from_diffusers": [(lambda: v.ForeignVAE.from_diffusers(TINY, 8), ValueError,
                                   "expected an AutoencoderKL or AutoencoderTiny of diffusers, got VAE")],
}
