"""Dotted keys: the nearest to a wrong one, the sections of a config, and YAML that is none."""

import pytest

from graphattn.config import known_keys
from graphattn.keys import check_keys, nearest, read_yaml, section


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train.learning_rate", "train.lr"),
        ("learning-rate", "train.lr"),
        ("lr", "train.lr"),
        ("dataset", "data.name"),
        ("model.num_epochs", "train.epochs"),
        ("modle.name", "model.name"),
        ("dat.name", "data.name"),
        ("tokens.nam_samples", "tokens.num_samples"),
        ("output", "out"),
        ("train.zzz", ""),
        ("heads", ""),
    ],
)
def test_the_nearest_key_is_the_one_meant(key, expected):
    assert nearest(key, known_keys()) == expected


def test_where_nothing_is_near_all_there_is_in_the_section_is_said():
    known = ["model.name", "model.dropout", "train.lr", "out"]
    with pytest.raises(ValueError, match=r"unknown key model.heads: mlp has name, dropout\."):
        check_keys(["model.heads"], known, model="mlp")
    with pytest.raises(ValueError, match=r"unknown key train.zzz: train has lr\."):
        check_keys(["train.zzz"], known)
    with pytest.raises(ValueError, match=r"unknown key zzz: there are model\.\*, train\.\*, out\."):
        check_keys(["zzz"], known)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a: 1\nb: [1\nc: 2\n", r"c\.yaml cannot be read as a config: line 3, column 2: expected"),
        ("a: \x00", r"c\.yaml cannot be read as a config: special characters are not allowed\."),
        (b"\xff\xfe\xff", r"c\.yaml cannot be read as a config: byte 0 is no UTF-8\."),
    ],
)
def test_yaml_that_is_none_is_told_in_one_line_with_its_place(tmp_path, content, words):
    file = tmp_path / "c.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=words) as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"cannot be read as a config: is a directory\."):
        read_yaml(tmp_path)


def test_sections_hold_keys_and_values():
    assert section({"train": {"lr": 1}}, "train") == {"lr": 1}
    assert section({"train": None}, "train") == section({}, "train") == {}
    with pytest.raises(ValueError, match=r"train must hold keys and values: got 3\."):
        section({"train": 3}, "train")
