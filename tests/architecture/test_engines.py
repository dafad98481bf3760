"""An engine is one file, one line in ENGINES and one extra of the same name."""

import ast
from importlib import import_module

import pytest

from tests.architecture.tree import ROOT, project

TIERS = ["stt_service", "tts_service", "llm_orchestrator"]

NEEDS_NOTHING = {"offline": "the rule-based responder is ours and has no dependency"}
"""Engines without an extra → why."""


def engines(tier):
    return import_module(f"{tier}.engines").ENGINES


@pytest.mark.parametrize("tier", TIERS)
def test_an_engine_has_an_extra_of_its_name(tier):
    extras = project()["project"]["optional-dependencies"]
    missing = [name for name in engines(tier) if name not in extras and name not in NEEDS_NOTHING]
    assert missing == []


@pytest.mark.parametrize("tier", TIERS)
def test_voicemesh_up_installs_every_engine(tier):
    [everything] = [
        line
        for line in project()["project"]["optional-dependencies"]["up"]
        if line.startswith("ovos-voice-mesh[")
    ]
    taken = everything.removeprefix("ovos-voice-mesh[").rstrip("]").split(",")
    assert {name for name in engines(tier) if name not in NEEDS_NOTHING} <= set(taken)


@pytest.mark.parametrize("tier", TIERS)
def test_a_line_in_engines_names_a_class_that_is_there(tier):
    """Looked up without importing it, since its library may be missing."""
    for name, place in engines(tier).items():
        module, _, cls = place.partition(":")
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert path.is_file(), f"{name}: there is no {path.relative_to(ROOT)}"
        tree = ast.parse(path.read_text())
        assert cls in [n.name for n in tree.body if isinstance(n, ast.ClassDef)], name


@pytest.mark.parametrize("tier", TIERS)
def test_an_engine_that_is_there_can_be_chosen(tier):
    named = {place.partition(":")[0].split(".")[2] for place in engines(tier).values()}
    here = {p.stem for p in (ROOT / tier / "engines").iterdir() if not p.name.startswith("_")}
    assert here == named
