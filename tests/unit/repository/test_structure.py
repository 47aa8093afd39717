"""The structure of the package: imports go down, names are unique, classes have few collaborators."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "exporter" / "starlight_exporter"

LAYERS = (
    ("cli",),
    ("web",),
    ("runs",),
    ("markdown",),
    ("publish",),
    ("synthesis", "checks"),
    ("analysis",),
    ("evaluation",),
    ("models",),
    ("dataset",),
    ("detector",),
    ("statistics",),
)
"""From the top down: a package imports only from those below it."""

ALLOWED_IN = {
    "prometheus_client": {"publish", "web"},
    "onnxruntime": {"detector"},
    "PIL": {"detector", "dataset", "synthesis"},
    "starlette": {"web"},
    "uvicorn": {"web"},
}
"""Third-party library -> the packages that may import it."""

MAX_COLLABORATORS = 6


@lru_cache
def modules() -> dict[str, ast.Module]:
    """Return module name (without the package's own name) -> syntax tree."""
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts): ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted(PACKAGE.rglob("*.py"))
    }


def imported_names(tree: ast.AST) -> set[str]:
    """Return every imported module, also inside functions; `from a import b` gives a and a.b.

    Imports for type checkers only (`if TYPE_CHECKING`) are not executed, and not returned.
    """
    names: set[str] = set()
    for node in _executed_nodes(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _executed_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield node
            yield from _executed_nodes(node)


def module_imports(name: str) -> set[str]:
    """Return the package's own modules that this module imports."""
    prefix = f"{PACKAGE.name}."
    found = {one.removeprefix(prefix) for one in imported_names(modules()[name]) if one.startswith(prefix)}
    return {one for one in found if one in modules() or f"{one}.__init__" in modules()}


def layer(module: str) -> int | None:
    """Return the layer of a module, 0 at the top; None for the modules next to the layers (config, errors, …)."""
    return next((index for index, layers in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in layers), None)


def test_every_package_has_a_layer() -> None:
    folders = {file.parent.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*.py") if file.parent != PACKAGE}
    assert folders == {name for names in LAYERS for name in names}


@pytest.mark.parametrize("name", [name for name in modules() if layer(name) is not None])
def test_imports_go_down(name: str) -> None:
    own = layer(name)
    assert own is not None
    for other in module_imports(name):
        below = layer(other)
        same_package = other.split(".")[0] == name.split(".", maxsplit=1)[0]
        assert below is None or below > own or same_package, f"{name} imports {other}"


def test_imports_have_no_cycle() -> None:
    seen: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in seen or name not in modules():
            return
        path.append(name)
        for other in sorted(module_imports(name)):
            visit(other)
        path.pop()
        seen.add(name)

    for name in modules():
        visit(name)


@pytest.mark.parametrize("library", ALLOWED_IN)
def test_library_is_imported_only_in_its_packages(library: str) -> None:
    users = {
        name.split(".")[0]
        for name, tree in modules().items()
        if any(one.split(".")[0] == library for one in imported_names(tree))
    }
    assert users <= ALLOWED_IN[library]


def test_public_type_names_are_unique() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_classes_have_few_collaborators() -> None:
    """A collaborator is an attribute that `__init__` sets to an object with state of this package."""
    classes = [node for tree in modules().values() for node in tree.body if isinstance(node, ast.ClassDef)]
    initialisers = {
        node.name: method
        for node in classes
        for method in node.body
        if isinstance(method, ast.FunctionDef) and method.name == "__init__"
    }
    found = {name: _collaborators(method, set(initialisers)) for name, method in initialisers.items()}
    assert {name: names for name, names in found.items() if len(names) > MAX_COLLABORATORS} == {}
    assert max(len(names) for names in found.values()) > 3


def _collaborators(initialiser: ast.FunctionDef, stateful: set[str]) -> set[str]:
    parameters = [*initialiser.args.args, *initialiser.args.kwonlyargs]
    types = {one.arg: ast.unparse(one.annotation) for one in parameters if one.annotation is not None}
    collaborators = set()
    for node in ast.walk(initialiser):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            value = node.value.func if isinstance(node.value, ast.Call) else node.value
            name = value.id if isinstance(value, ast.Name) else ""
            if types.get(name, name) in stateful:
                collaborators.add(types.get(name, name))
    return collaborators


def test_importing_the_package_loads_no_runtime() -> None:
    script = "import sys, starlight_exporter; print(sorted({'onnxruntime', 'PIL', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
