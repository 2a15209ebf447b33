"""Features of labels and noise: what they hold, and where they are refused."""

import pytest
import torch

from graphattn.datasets.hypergraphs import southern_women
from graphattn.datasets.label_noise import add_label_noise, noisy_labels


def test_one_hot_labels_zeros_beside_them_and_noise_of_that_size():
    y = torch.arange(4000) % 3
    y[::7] = -1
    x = noisy_labels(y, 0.5, channels=20, seed=3)
    exact = torch.nn.functional.one_hot(y.clamp(min=0), 20).float()
    exact[y < 0] = 0.0
    assert torch.equal(noisy_labels(y, 0.0, channels=20), exact)
    noise = x - exact
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.std()) == pytest.approx(0.5, rel=0.02)
    assert torch.equal(noisy_labels(y, 0.5, channels=20, seed=3), x)
    assert not torch.equal(noisy_labels(y, 0.5, channels=20, seed=4), x)


def test_the_global_seed_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    noisy_labels(torch.tensor([0, 1]), 1.0)
    assert torch.equal(torch.rand(1), expected)


def test_a_copy_with_features():
    data = southern_women()
    del data.x
    made = add_label_noise(data, label_noise=1.0, label_channels=7, label_seed=2)
    assert made.x.shape == (18, 7)
    assert data.get("x") is None
    assert add_label_noise(data) is data


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_noise": -1.0}, "label_noise must be a number from 0: got -1.0"),
        ({"label_noise": float("inf")}, "label_noise must be a number from 0: got inf"),
        ({"label_noise": 1.0, "label_channels": 1}, "at least 2, the classes: got 1"),
    ],
)
def test_wrong_options(options, words):
    data = southern_women()
    del data.x
    with pytest.raises(ValueError, match=words):
        add_label_noise(data, **options)


def test_not_beside_features_and_not_of_numbers():
    data = southern_women()
    with pytest.raises(ValueError, match=r"left out where there are features.*has 18 features"):
        add_label_noise(data, label_noise=1.0)
    del data.x
    data.y = data.y.float()
    with pytest.raises(ValueError, match="southern_women has no classes"):
        add_label_noise(data, label_noise=1.0)
