"""Rules about the shape of the tree that no linter knows."""

import ast
import fnmatch
import re
import subprocess
import sys

import pytest

from tests.architecture.tree import GENERATED, PACKAGES, ROOT, files, project, sources

SOURCE_LINES, ANY_LINES = 300, 400

LONG: dict[str, str] = {}
"""Python files that may be longer → why."""

UNTESTED: dict[str, str] = {}
"""Modules without a test at the mirrored path → what tests them instead."""

PRIVATE = {
    "a path of the machine it was written on": re.compile(
        r"(?<![\w.$}~-])/(?:root|work|home/\w+|Users/\w+|tmp|opt/(?:pypi|wheels))\b[-\w]*/\w"
    ),
    "where this machine gets its packages": re.compile(
        r"--(?:extra-)?index[-]url\b|--find[-]links\b|--trusted[-]host\b"
    ),
}


def text_of(path):
    try:
        return (ROOT / path).read_text()
    except UnicodeDecodeError:
        return ""


def does_something(path):
    """Whether a module has code to test, and does not only declare."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, functions):
            body = [n for n in node.body if not is_docstring(n)]
            if not all(isinstance(n, ast.Pass) for n in body):
                return True
    return False


def is_docstring(node):
    """A text, or the `...` of a protocol."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_tested(path):
    test = ROOT / "tests" / "unit" / path.with_name(f"test_{path.name}")
    # The engines of a tier have one suite for all of them.
    suite = ROOT / "tests" / "contract" / f"test_{path.parts[0].split('_')[0]}_engines.py"
    return test.exists() or (path.match("*/engines/*.py") and suite.exists())


def test_files_stay_small():
    long = {}
    for path in files():
        if path.suffix != ".py" or fnmatch.fnmatch(path.name, GENERATED):
            continue
        n_lines = len((ROOT / path).read_text().splitlines())
        limit = SOURCE_LINES if path.parts[0] in PACKAGES else ANY_LINES
        if n_lines > limit and str(path) not in LONG:
            long[str(path)] = n_lines
    assert long == {}, "find the second noun"


def test_proto_is_never_a_package():
    """`import proto` belongs to proto-plus, which Google's clients need."""
    assert not (ROOT / "proto" / "__init__.py").exists()


def test_every_module_has_its_test_where_it_is_looked_for():
    missing = [
        str(path)
        for path in sources()
        if path.name not in ("__init__.py", "__main__.py")
        and does_something(path)
        and not is_tested(path)
        and str(path) not in UNTESTED
    ]
    assert not missing, "add tests/unit/<its path>/test_<its name>.py for\n" + "\n".join(missing)


@pytest.mark.parametrize("table", [LONG, UNTESTED], ids=["LONG", "UNTESTED"])
def test_the_exceptions_are_still_needed(table):
    for path in table:
        assert (ROOT / path).exists(), f"{path} is gone: take it out of the table"


def test_the_stubs_are_what_the_protos_give():
    check = subprocess.run(
        [sys.executable, ROOT / "proto" / "generate.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr


def test_every_package_is_installed():
    """The list in pyproject.toml is written by hand, because of `ovos` = proto/ovos."""
    listed = set(project()["tool"]["setuptools"]["packages"])
    here = {".".join(p.parent.parts) for p in sources() if p.name == "__init__.py"}
    stubs = (ROOT / "proto" / "ovos").rglob("__init__.py")
    here |= {".".join(p.parent.relative_to(ROOT / "proto").parts) for p in stubs}
    missing = {name for name in here if name.split(".")[0] != "bench"} - listed
    assert missing == set()
    assert {name for name in listed if name.split(".")[0] in PACKAGES} <= here


@pytest.mark.parametrize("what", PRIVATE)
def test_no_file_tells(what):
    found = [
        f"{path}:{n}: {line.strip()[:100]}"
        for path in files()
        for n, line in enumerate(text_of(path).splitlines(), start=1)
        if PRIVATE[what].search(line)
    ]
    assert not found, f"{what}\n" + "\n".join(found)


def test_the_version_is_the_newest_in_the_changelog():
    [newest, *_] = re.findall(r"^## \[?v?([0-9][^\s\]]*)", text_of("CHANGELOG.md"), re.MULTILINE)
    assert project()["project"]["version"] == newest
