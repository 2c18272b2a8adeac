"VAE: starts as PCA, scales its latents, learns, reads back strictly, for any size."
import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from tokenbridge.classifier import FeatureNet
from tokenbridge.data import synthetic_images, to_float
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import (
    VAE,
    VAEConfig,
    fit_latent_scale_,
    patch_pca,
    perceptual_distance,
    start_at_pca_,
    vae_loss,
)

IMAGES = to_float(synthetic_images(300).images)
SMALL = VAEConfig(width=8)


def fresh(config=SMALL, seed=0) -> VAE:
    torch.manual_seed(seed)
    return start_at_pca_(VAE(config), IMAGES)


def test_pca_is_the_best_linear_map():
    mean, directions, std = patch_pca(IMAGES, 8, 16)
    flat = rearrange(directions, "d c f g -> d (c f g)")
    assert torch.allclose(flat @ flat.T, torch.eye(16), atol=1e-4) and (std[:-1] >= std[1:]).all()
    patches = rearrange(IMAGES, "b c (h f) (w g) -> (b h w) (c f g)", f=8, g=8) - mean.flatten()
    kept = (patches @ flat.T).square().sum() / patches.square().sum()
    u, s, v = torch.linalg.svd(patches.double(), full_matrices=False)
    assert abs(kept - s[:16].square().sum() / s.square().sum()) < 1e-4


def test_it_starts_as_pca():
    vae = fresh()
    mean, directions, _ = patch_pca(IMAGES, 8, 16)
    tiled = mean.repeat(1, 4, 4)
    pca = F.conv_transpose2d(F.conv2d(IMAGES - tiled, directions, stride=8), directions, stride=8) + tiled
    with torch.no_grad():
        ours = vae.decode(vae.encode(IMAGES).mean)
    assert abs(F.mse_loss(ours, IMAGES) / F.mse_loss(pca, IMAGES) - 1) < 0.2


@pytest.mark.parametrize("config", [
    VAEConfig(image_size=16, latent_dims=5, factor=4, width=8),
    VAEConfig(image_size=32, latent_dims=3, factor=16, width=4, blocks=2),
    VAEConfig("kl16", image_size=16, latent_dims=5, factor=4, width=8, multipliers=(1, 1, 2), blocks=1,
              groups=4)])
def test_any_size(config):
    vae = VAE(config).eval()
    images = torch.rand(2, 3, config.image_size, config.image_size) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(images)
        assert posterior.mean.shape == (2, config.latent_dims, *vae.grid) and (posterior.std > 0).all()
        assert vae.decode(posterior.sample(torch.Generator().manual_seed(0))).shape == images.shape


def test_the_scale_belongs_to_the_vae():
    vae = fresh()
    with torch.no_grad():
        before = vae.decode(vae.encode(IMAGES).mean)
        fit_latent_scale_(vae, IMAGES)
        latents = rearrange(vae.encode(IMAGES).mean, "b d h w -> d (b h w)")
        assert latents.mean(1).abs().max() < 1e-3 and (latents.std(1) - 1).abs().max() < 1e-3
        assert torch.allclose(vae.decode(vae.encode(IMAGES).mean), before, atol=1e-4)


def test_a_few_steps_lower_the_loss():
    vae, generator = fresh(), torch.Generator().manual_seed(0)
    eye = FeatureNet().eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(vae.parameters(), 1e-3)
    losses = []
    for step in range(12):
        loss, parts = vae_loss(vae, IMAGES[:16], generator, 1e-5, eye, 0.03)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        losses.append(loss.item())
    assert set(parts) == {"mse", "kl", "perceptual"} and losses[-1] < 0.95 * losses[0]


def test_every_parameter_gets_a_gradient_after_a_step():
    vae = fresh()
    for name, parameter in vae.named_parameters():     # zero-initialised layers shield what lies before them
        torch.nn.init.normal_(parameter, std=0.02)
    vae_loss(vae, IMAGES[:4], torch.Generator().manual_seed(0))[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())


def test_perceptual_distance_is_a_distance():
    eye = FeatureNet().eval().requires_grad_(False)
    a, b = IMAGES[:4], IMAGES[4:8]
    assert perceptual_distance(eye, a, a) < 1e-6 < perceptual_distance(eye, a, b)
    assert torch.allclose(perceptual_distance(eye, a, b), perceptual_distance(eye, b, a))


def test_reading_back_is_exact_and_strict(tmp_path):
    vae = fit_latent_scale_(fresh(), IMAGES)
    TokenBridge(vae, Quantizer.fit(torch.randn(500, 16), 4)).save_pretrained(tmp_path)
    back = VAE.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a,
               b in zip(vae.state_dict().values(), back.state_dict().values(), strict=True))
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-100])
    with pytest.raises((ValueError, OSError)):
        VAE.from_pretrained(tmp_path)
