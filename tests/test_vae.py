"VAE: starts as PCA, scales its latents, learns, reads back strictly, for any size."
import warnings

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from tokenbridge.classifier import FeatureNet
from tokenbridge.data import drawn_rich_images, to_float
from tokenbridge.pipeline import TokenBridge
from tokenbridge.quantizer import Quantizer
from tokenbridge.vae import (
    VAE,
    ForeignVAE,
    Posterior,
    VAEConfig,
    check_autoencoder,
    fit_latent_scale_,
    patch_pca,
    perceptual_distance,
    start_at_pca_,
    vae_loss,
)

IMAGES = to_float(drawn_rich_images(300).images)
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


def test_kl_is_that_of_torch_for_each_image():
    generator = torch.Generator().manual_seed(0)
    for shape in ((1, 1, 1, 1), (5, 3, 2, 4)):
        mean, std = torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) * 3 + 0.01
        normal = torch.distributions.Normal
        oracle = torch.distributions.kl_divergence(normal(mean, std), normal(0.0, 1.0)).sum((1, 2, 3))
        assert torch.allclose(Posterior(mean, std).kl(), oracle, rtol=1e-4)
    assert Posterior(torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)).kl().tolist() == [0, 0]


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


# ---------------------------------------------------------------------- five things
def halves(images: torch.Tensor) -> torch.Tensor:
    "An encoder of other people: colours of 4 x 4 pixels, in another unit."
    return 300 * F.avg_pool2d(images, 4) + 7


def back(latents: torch.Tensor) -> torch.Tensor:
    return F.interpolate((latents - 7) / 300, scale_factor=4.0)


class Theirs(torch.nn.Module):
    "An autoencoder of other people: another base class, other names, a deviation, weights."

    def __init__(self):
        super().__init__()
        self.down, self.up = torch.nn.Conv2d(3, 2 * 5, 4, 4), torch.nn.ConvTranspose2d(5, 3, 4, 4)

    def read(self, images):
        mean, log_std = self.down(images).chunk(2, 1)
        return torch.distributions.Normal(mean * 50, log_std.exp())   # has .mean and .stddev, but no .std

    def named(self, images):
        from types import SimpleNamespace
        said = self.read(images)
        return SimpleNamespace(mean=said.mean, std=said.stddev)

    def write(self, latents):
        return self.up(latents / 50)


def test_the_vae_has_the_five_things():
    vae = VAE(VAEConfig(width=8, image_size=16, factor=4, latent_dims=5))
    check_autoencoder(vae)
    assert (vae.image_size, vae.latent_dims, vae.grid) == (16, 5, (4, 4))


def test_fingerprint_of_the_shipped_vae():
    vae = VAE.from_pretrained("cifar-tiny")
    assert vae.fingerprint() == "66ddceb8926d4caf"
    assert vae.bfloat16().fingerprint() == "66ddceb8926d4caf"   # it was rounded before it was stored


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_default_dtype_is_no_other_model(dtype):
    torch.set_default_dtype(dtype)
    try:
        vae = VAE.from_pretrained("cifar-tiny")
    finally:
        torch.set_default_dtype(torch.float32)
    assert vae.fingerprint() == "66ddceb8926d4caf"
    assert {value.dtype for value in vae.state_dict().values()} == {torch.float32}


def test_what_is_missing_is_named():
    vae = VAE(SMALL)
    check_autoencoder(ForeignVAE(halves, back, latent_dims=3, factor=4, image_size=32))
    part = torch.nn.Module()
    part.encode, part.decode, part.grid = vae.encode, vae.decode, vae.grid
    with pytest.raises(ValueError, match="got Module without image_size, latent_dims$"):
        check_autoencoder(part)


def test_two_plain_functions():
    foreign = ForeignVAE(halves, back, latent_dims=3, factor=4, image_size=32).fit_scale(IMAGES)
    check_autoencoder(foreign)
    posterior = foreign.encode(IMAGES)
    assert posterior.mean.shape == (300, 3, 8, 8) and foreign.grid == (8, 8) and not posterior.std.any()
    assert posterior.mean.mean((0, 2, 3)).abs().max() < 1e-3
    assert (posterior.mean.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert torch.allclose(foreign.decode(posterior.mean), back(halves(IMAGES)), atol=1e-4)


def test_their_weights_follow():
    theirs = Theirs()
    foreign = ForeignVAE(theirs.named, theirs.write, latent_dims=5, factor=4,
                         image_size=32).fit_scale(IMAGES[:50])
    assert {id(p) for p in foreign.parameters()} == {id(p) for p in theirs.parameters()}
    said = theirs.named(IMAGES[:2])
    posterior = foreign.encode(IMAGES[:2])
    assert torch.allclose(posterior.std * foreign.latent_std[:, None, None], said.std, rtol=1e-4)
    scale = foreign.latent_std.clone()
    foreign.double().eval()
    assert theirs.down.weight.dtype == torch.float64 and not theirs.training
    assert torch.equal(foreign.latent_std, scale) and foreign.encode(IMAGES[:2]).mean.dtype == torch.float64
    plain = ForeignVAE(lambda x: theirs.named(x), lambda x: theirs.write(x), 5, 4, 32, module=theirs)
    assert {id(p) for p in plain.parameters()} == {id(p) for p in theirs.parameters()}


def test_a_probe_tells_foreign_autoencoders_apart():
    theirs = Theirs()
    foreign = ForeignVAE(theirs.named, theirs.write, latent_dims=5, factor=4,
                         image_size=32).fit_scale(IMAGES[:50])
    probe = foreign.probe()
    assert probe.shape == (16, 8) and foreign.matches(probe) and foreign.matches(probe + 0.005)
    assert foreign.matches(probe[:, :5])   # of a folder from before the decoder was looked at
    for layer in (theirs.up, theirs.down):
        before = layer.weight.clone()
        with torch.no_grad():
            layer.weight *= 4
        assert not foreign.matches(probe) and foreign.matches(probe[:, :5]) == (layer is theirs.up)
        with torch.no_grad():
            layer.weight.copy_(before)
    assert foreign.matches(probe) and not foreign.matches(probe[:, :4])


def test_a_foreign_network_encodes_in_evaluation_mode():
    nn = torch.nn
    encode = nn.Sequential(nn.Conv2d(3, 5, 4, stride=4), nn.BatchNorm2d(5), nn.Dropout(0.5))
    decode = nn.Sequential(nn.ConvTranspose2d(5, 3, 4, stride=4), nn.Dropout(0.5))
    foreign = ForeignVAE(encode, decode, 5, 4, 32)
    with pytest.warns(UserWarning, match="never scaled, call fit_scale"):
        foreign.warn_if_unscaled()
    foreign.fit_scale(IMAGES[:20])
    kept, latents = encode[1].running_mean.clone(), foreign.encode(IMAGES[:2]).mean
    assert torch.equal(foreign.encode(IMAGES[:1]).mean, latents[:1]) and encode.training
    assert torch.equal(foreign.decode(latents), foreign.decode(latents)) and decode[1].training
    assert torch.equal(encode[1].running_mean, kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        foreign.warn_if_unscaled()


@pytest.mark.parametrize("kind", ["AutoencoderKL", "AutoencoderTiny"])
def test_autoencoders_of_diffusers(kind):
    diffusers = pytest.importorskip("diffusers", reason="the extra diffusers is not installed")
    torch.manual_seed(0)
    if kind == "AutoencoderKL":
        model = diffusers.AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * 3,
                                        up_block_types=("UpDecoderBlock2D",) * 3,
                                        block_out_channels=(8, 8, 16), latent_channels=6,
                                        norm_num_groups=4).eval()
    else:
        model = diffusers.AutoencoderTiny(encoder_block_out_channels=(8, 8, 8),
                                          decoder_block_out_channels=(8, 8, 8),
                                          num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(1, 1, 1),
                                          latent_channels=6).eval()
    foreign = ForeignVAE.from_diffusers(model, image_size=32)
    assert foreign.latent_dims == 6 and foreign.grid == (8, 8)
    with torch.no_grad():
        out = model.encode(IMAGES[:4])
        wanted = out.latent_dist.mean if kind == "AutoencoderKL" else out.latents
        assert torch.allclose(foreign.encode(IMAGES[:4]).mean, wanted, atol=1e-5)
        foreign.fit_scale(IMAGES[:50])
        latents = foreign.encode(IMAGES[:4]).mean
        assert torch.allclose(foreign.decode(latents), model.decode(wanted).sample, atol=1e-3)
        assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.5


# ---------------------------------------------------------------------- spoiled files
@pytest.mark.parametrize("spoil", ["bit", "rows", "scale"])
def test_a_changed_file_is_not_read(tiny_folder, tmp_path, spoil):
    import shutil

    from tokenbridge.files import load_tensors, save_tensors
    folder = shutil.copytree(tiny_folder, tmp_path / "copy")
    tensors, _ = load_tensors(folder / "model.safetensors")
    name = "vae.latent_std" if spoil == "scale" else "vae.decoder.patch.weight"
    values = tensors[name]
    if spoil == "bit":
        values.view(torch.int32).flatten()[3] ^= 1
    elif spoil == "rows":
        values[:] = values.flip(0).clone()
    else:
        values *= 1.001
    save_tensors(folder / "model.safetensors", tensors)
    with pytest.raises(ValueError, match="vae: expected the weights with fingerprint"):
        VAE.from_pretrained(folder)


def test_encoding_is_one_graph():
    vae = fresh().eval()
    compiled = torch.compile(lambda images: vae.encode(images).mean, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.equal(compiled(IMAGES[:4]), vae.encode(IMAGES[:4]).mean)
