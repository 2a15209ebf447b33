"""Short names whatever their case, and whose code an exception was raised in."""

import sys

import pytest

from graphattn.models.mlp import MLP
from graphattn.names import find, foreign, import_path, raised_in
from graphattn.short_names import MODELS


@pytest.mark.parametrize("name", ["GCN", "Gcn", "LargeGT", "MLP"])
def test_another_case_is_a_hint(name):
    with pytest.raises(ValueError, match=f"Did you mean '{name.lower()}'"):
        find(name, MODELS, "model.name")


def test_the_innermost_foreign_code_is_noted_once_and_ours_never():
    def caught(*things):
        try:
            with foreign(things[0], "the model"), foreign(things[-1], "the sampler"):
                raise KeyError("lin")
        except KeyError as error:
            return raised_in(error)

    assert caught("mine.Model", "mine.draw") == "the sampler mine.draw"
    assert caught("graphattn.models.mlp.MLP") == ""
    assert caught(MLP(1, 1, 1)) == caught(MLP) == ""
    assert import_path(MLP(1, 1, 1)) == "graphattn.models.mlp.MLP"


def test_a_module_that_fails_while_it_is_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "fails_at_once.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ZeroDivisionError) as caught:
        find("fails_at_once.Model", MODELS, "model.name")
    assert raised_in(caught.value) == "model.name fails_at_once.Model"
    assert "fails_at_once" not in sys.modules
