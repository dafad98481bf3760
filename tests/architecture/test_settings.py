"""Every setting is explained where it is declared."""

import ast
import dataclasses
import re
from importlib import import_module

import pytest

from mesh.config import ConfigError, load, variable
from tests.architecture.tree import ROOT, TIERS

PREFIX = {tier: tier.split("_")[0] for tier in TIERS}
COMMON = {"host", "port", "metrics_port", "log_level", "drain_s"}
SECRET = ("key", "token", "password", "secret", "url")
NOT_SECRET = ("base_url",)


def config(tier):
    return import_module(f"{tier}.config").Config


@pytest.mark.parametrize("tier", TIERS)
def test_every_setting_says_what_it_is(tier):
    tree = ast.parse((ROOT / tier / "config.py").read_text())
    [cls] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config"]
    silent = [
        node.target.id
        for node, below in zip(cls.body, [*cls.body[1:], None], strict=True)
        if isinstance(node, ast.AnnAssign)
        and not (
            isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        )
    ]
    assert silent == []


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_can_be_placed_watched_and_drained_the_same_way(tier):
    assert {field.name for field in dataclasses.fields(config(tier))} >= COMMON


@pytest.mark.parametrize("tier", TIERS)
def test_settings_are_frozen_slotted_and_named(tier):
    cls = config(tier)
    assert cls.__dataclass_params__.frozen
    assert hasattr(cls, "__slots__")
    assert all(field.kw_only for field in dataclasses.fields(cls))


@pytest.mark.parametrize("tier", TIERS)
def test_a_setting_that_may_hold_a_secret_is_never_shown(tier):
    shown = [
        field.name
        for field in dataclasses.fields(config(tier))
        if field.name.endswith(SECRET)
        and not field.name.endswith(NOT_SECRET)
        and not field.metadata.get("secret")
    ]
    assert shown == [], 'metadata={"secret": True}'


@pytest.mark.parametrize("tier", TIERS)
def test_a_mistyped_redis_is_refused_at_once_and_without_its_password(tier):
    env = {"REDIS_URL": "reddis://:hush@h", "DATABASE_URL": "postgresql://h/d"}
    with pytest.raises(ConfigError, match=r"^REDIS_URL: not a Redis URL") as refused:
        load(config(tier), env, prefix=PREFIX[tier])
    assert "hush" not in str(refused.value)


def test_the_readme_names_only_settings_that_exist():
    """The page docs/settings.md has them all; tests/unit/voicemesh/test_settings.py keeps it."""
    fields = [(f, PREFIX[tier]) for tier in TIERS for f in dataclasses.fields(config(tier))]
    known = {variable(field, prefix) for field, prefix in fields}
    table = (ROOT / "README.md").read_text().split("## Settings")[1].split("##")[0]
    told = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`", table))
    assert len(told) > 5
    assert told <= known
