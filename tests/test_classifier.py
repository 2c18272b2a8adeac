"Classifiers: shapes, learning, storing and reading, and that the judge is not the eye."
import pytest
import torch

from tests.tools.tiny import three_classes
from tokenbridge import classifier as c
from tokenbridge.data import CIFAR10_CLASSES, drawn_rich_images, to_float
from tokenbridge.files import load_tensors, save_tensors


def test_features_and_logits():
    images = torch.zeros(2, 3, 32, 32)
    assert [tuple(f.shape[1:]) for f in c.FeatureNet().features(images)] == [(32, 32, 32), (64, 16, 16),
        (128, 8, 8), (128, 4, 4)]
    assert c.JudgeNet(7)(images).shape == (2, 7) and c.JudgeNet().features(images).shape == (2, 512)


def test_the_judge_has_another_architecture():
    eye, judge = c.FeatureNet(), c.JudgeNet()
    assert not {type(m) for m in judge.modules()} & {c.Residual, torch.nn.ReLU}
    assert {n for n, _ in eye.named_parameters()} != {n for n, _ in judge.named_parameters()}


def test_it_learns_drawn_classes():
    data, held_out = drawn_rich_images(1500, seed=0), drawn_rich_images(200, seed=1)
    torch.manual_seed(0)
    net = c.JudgeNet()
    c.train_classifier(net, data, 2, lr=0.05, batch_size=50, progress=False)
    assert c.accuracy(net, held_out) > 0.2  # chance: 0.1


def test_training_is_repeatable():
    data, runs = drawn_rich_images(64), []
    for _ in range(2):
        torch.manual_seed(0)
        runs.append(c.train_classifier(c.JudgeNet(), data, 1, batch_size=16, progress=False, seed=3))
    assert runs[0] == runs[1]


def test_stored_weights_come_back(tmp_path):
    net = c.FeatureNet().eval()
    c.store_classifier(net, tmp_path / "x.safetensors")
    back = c.read_classifier(tmp_path / "x.safetensors", "features")
    images = to_float(drawn_rich_images(8).images)
    assert torch.allclose(back(images), net(images), atol=0.05)
    assert not any(p.requires_grad for p in back.parameters()) and not back.training


def test_a_stored_judge_knows_what_it_was_trained_on(tmp_path):
    data = three_classes(16)
    judge = c.train_judge(data, three_classes(8, seed=1), steps=2, batch_size=4, progress=False)
    assert judge.classes == data.classes and judge.image_size == 32 and not judge.training
    c.store_classifier(judge, tmp_path / "judge.safetensors")
    back = c.read_classifier(tmp_path / "judge.safetensors")
    assert [getattr(back, name) for name in ("classes", "source", "image_size", "accuracy")] == [
        data.classes, data.source, 32, judge.accuracy] and 0 <= judge.accuracy <= 1
    with pytest.raises(ValueError, match="expected a classifier of the images' classes, 10 .*got one of 3"):
        c.accuracy(back, drawn_rich_images(4))


def test_a_judge_of_any_even_size(tmp_path):
    data = drawn_rich_images(8, size=28)
    assert c.train_judge(data, steps=2, batch_size=4, progress=False).image_size == 28


def test_a_judge_is_found_by_what_it_was_trained_on():
    found = c.find_judge(CIFAR10_CLASSES, "cifar10", 32)
    assert found.classes == CIFAR10_CLASSES and found.source == "cifar10"
    images = to_float(drawn_rich_images(4).images)
    assert torch.equal(found(images), c.load_classifier("judge")(images))
    assert c.find_judge(CIFAR10_CLASSES) is not None
    for others in ((CIFAR10_CLASSES, "photographs"), (CIFAR10_CLASSES, "cifar10", 64),
                   (CIFAR10_CLASSES[::-1],), (("red", "blue"),)):
        assert c.find_judge(*others) is None


def test_a_header_changes_no_tensor(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, dict(c.JudgeNet(3).state_dict()))
    before = load_tensors(path)[0]
    c.describe_classifier(path, ["a", "b", "c"], "mine", 16)
    after, _ = load_tensors(path)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert c.read_classifier(path).classes == ("a", "b", "c")


def test_without_mirroring_no_image_is_turned(monkeypatch):
    monkeypatch.setattr(c, "random_flip", lambda *_: pytest.fail("turned"))
    c.train_classifier(c.JudgeNet(), drawn_rich_images(8), 1, batch_size=4, progress=False, mirror=False)
    with pytest.raises(BaseException, match="turned"):
        c.train_classifier(c.JudgeNet(), drawn_rich_images(8), 1, batch_size=4, progress=False)


def test_loading_leaves_the_random_numbers_alone():
    before = torch.get_rng_state()
    c.load_classifier("judge")
    assert torch.equal(torch.get_rng_state(), before)


def test_the_shipped_ones_are_there():
    for name in c.CLASSIFIERS:
        assert c.load_classifier(name)(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_training_takes_small_labels_and_gives_the_mode_back():
    from tokenbridge.data import ImageSet
    data = drawn_rich_images(8)
    net = c.CLASSIFIERS["judge"](10).eval()
    c.train_classifier(net, ImageSet(data.images, data.labels.int(), data.classes, data.source), 2,
                       batch_size=4, progress=False)
    assert not net.training
