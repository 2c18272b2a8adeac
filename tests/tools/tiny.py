"Models of a few thousand parameters for tests; d, k and the number of classes differ from the usual ones."
from pathlib import Path


def tiny_config(kind: str = "masked", **changes):
    "An ARConfig: 6 tokens, 5 dimensions, 7 levels, 3 classes; `changes` are of the backbone."
    from tokenbridge.backbone import BackboneConfig
    from tokenbridge.head import HeadConfig
    from tokenbridge.model import ARConfig
    backbone = dict(kind=kind, tokens=6, dims=5, classes=3, width=24, encoder_blocks=1, decoder_blocks=1,
                    heads=3,
                    class_tokens=2)
    head = dict(dims=5, num_levels=7, context_width=24, width=16, blocks=2, heads=2)
    return ARConfig(BackboneConfig(**backbone | changes), HeadConfig(**head))


def three_classes(num: int, seed: int = 0):
    "Drawn images of the three classes that the tiny model knows."
    from tokenbridge.data import ImageSet, drawn_rich_images
    data = drawn_rich_images(num, seed=seed)
    return ImageSet(data.images, data.labels % 3, data.classes[:3], data.source)


def tiny_model(kind: str = "masked", levels=None, **changes):
    "An ARModel in evaluation mode, seeded, its weights away from zero so that every part has an effect."
    import torch

    from tokenbridge.model import ARModel
    generator = torch.Generator().manual_seed(0)
    if levels is None:
        levels = torch.linspace(-2, 2, 7).repeat(5, 1) + torch.arange(5)[:, None] * 0.01
    model = ARModel(tiny_config(kind, **changes), levels).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def save_tiny(folder: Path, generator: bool = True, **changes) -> Path:
    "A saved TokenBridge: 32 x 32 pixels, 4 x 4 tokens, fitted levels; with or without a generator."
    import torch

    from tokenbridge.data import drawn_rich_images, to_float
    from tokenbridge.pipeline import TokenBridge
    from tokenbridge.quantizer import Quantizer
    from tokenbridge.vae import VAE, VAEConfig
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = VAE(VAEConfig(kind="residual", image_size=32, latent_dims=5, factor=8, width=8,
                            multipliers=(1, 1, 1))).eval()
    with torch.no_grad():
        latents = vae.encode(to_float(drawn_rich_images(32).images)).mean.flatten(2).mT
    quantizer = Quantizer.fit(latents, 7)
    ar = tiny_model(levels=quantizer.levels, tokens=16, **changes) if generator else None
    return TokenBridge(vae, quantizer, ar, name="tiny").save_pretrained(folder)
