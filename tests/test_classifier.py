"Classifiers: shapes, learning, storing and reading, and that the judge is not the eye."
import torch

from tokenbridge import classifier as c
from tokenbridge.data import synthetic_images, to_float


def test_features_and_logits():
    images = torch.zeros(2, 3, 32, 32)
    assert [tuple(f.shape[1:]) for f in c.FeatureNet().features(images)] == [(32, 32, 32), (64, 16, 16),
        (128, 8, 8), (128, 4, 4)]
    assert c.JudgeNet(7)(images).shape == (2, 7) and c.JudgeNet().features(images).shape == (2, 512)


def test_the_judge_has_another_architecture():
    eye, judge = c.FeatureNet(), c.JudgeNet()
    assert not {type(m) for m in judge.modules()} & {c.Residual, torch.nn.ReLU}
    assert {n for n, _ in eye.named_parameters()} != {n for n, _ in judge.named_parameters()}


def test_it_learns_the_synthetic_classes():
    data, held_out = synthetic_images(1500, seed=0), synthetic_images(200, seed=1)
    torch.manual_seed(0)
    net = c.JudgeNet()
    c.train_classifier(net, data, 2, lr=0.05, batch_size=50, progress=False)
    assert c.accuracy(net, held_out) > 0.2  # chance: 0.1


def test_training_is_repeatable():
    data, runs = synthetic_images(64), []
    for _ in range(2):
        torch.manual_seed(0)
        runs.append(c.train_classifier(c.JudgeNet(), data, 1, batch_size=16, progress=False, seed=3))
    assert runs[0] == runs[1]


def test_stored_weights_come_back(tmp_path):
    net = c.FeatureNet().eval()
    c.store_classifier(net, tmp_path / "x.safetensors")
    back = c.read_classifier(tmp_path / "x.safetensors", "features")
    images = to_float(synthetic_images(8).images)
    assert torch.allclose(back(images), net(images), atol=0.05)
    assert not any(p.requires_grad for p in back.parameters()) and not back.training


def test_loading_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    c.load_classifier("judge")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_shipped_ones_are_there():
    for name in c.CLASSIFIERS:
        assert c.load_classifier(name)(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_training_takes_small_labels_and_gives_the_mode_back():
    from tokenbridge.data import ImageSet
    data = synthetic_images(8)
    net = c.CLASSIFIERS["judge"](10).eval()
    c.train_classifier(net, ImageSet(data.images, data.labels.int(), data.classes, data.source), 2,
                       batch_size=4, progress=False)
    assert not net.training
