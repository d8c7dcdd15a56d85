# SPDX-License-Identifier: MIT
"""Who may import whom in the package: the direction of its folders, imports inside functions included; no circles."""

import ast
import re
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "rnncore"

if not PACKAGE.is_dir():
    pytest.skip("the sources are not here", allow_module_level=True)

# What lies below what: a part of the package may import itself and what stands here. A part is a folder, or a module
# beside the folders; "" is the package itself, which may import everything and is imported by its users alone.
BASE = ("errors", "version")
SPEC = (*BASE, "spec")
ENGINE = (*SPEC, "engine")
LAYERS = (*ENGINE, "layers")
NN = (*LAYERS, "nn")
FORMATS = (*NN, "formats")
TOP = (*FORMATS, "forecast")
MAY_IMPORT = {
    **dict.fromkeys(BASE, ()),
    "spec": BASE,
    "engine": SPEC,
    "ragged": SPEC,
    "blocks": (*SPEC, "ragged"),
    "layers": ENGINE,
    "reference": SPEC,
    "torch": ENGINE,
    "jax": ENGINE,
    "nn": LAYERS,
    "cluster": (*FORMATS, "ragged", "blocks", "interrupts"),
    "formats": NN,
    "forecast": (*FORMATS, "interrupts"),
    "estimators": (*FORMATS, "forecast", "ragged"),
    "interrupts": (),
    "threadpoolctl": ENGINE,
    "bench": (*FORMATS, "reference", "torch", ""),  # it compares, and so runs the package as its users do
    "verify": (*NN, "cluster"),
    "cli": (*TOP, "bench", "cluster", "interrupts", "verify"),
    "__main__": ("cli", "interrupts"),
}

# (module, part): imports against the direction that are known. Each goes when its reason has gone.
KNOWN: set[tuple[str, str]] = set()


def module_names():
    """Dotted names below rnncore of all modules and packages, with their files; "" is the package itself."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py*")):
        if path.suffix in {".py", ".pyx"}:
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = module_names()


def tree_of(path):
    """The syntax of a module; of an extension its import statements."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        lines = re.findall(r"^(?:from|import) .*", text, re.MULTILINE)
        text = "\n".join(line for line in lines if " cimport " not in line)
    return ast.parse(text)


def is_for_types(node):
    """Whether it is what type checkers see alone."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def nodes(tree, in_functions):
    """Statements that import, and calls of import_module; those that run when the module is loaded, or all."""
    todo = list(tree.body)
    while todo:
        node = todo.pop()
        called = isinstance(node, ast.Call) and getattr(node.func, "attr", None)
        if isinstance(node, ast.Import | ast.ImportFrom) or called == "import_module":
            yield node
        late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or is_for_types(node)
        if in_functions or not late:
            todo.extend(ast.iter_child_nodes(node))


def resolve(module, path, node):
    """Names below rnncore ("own") and top-level names of others that a statement or a call loads."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.Call):
        first = node.args[0]
        names = {first.value} if isinstance(first, ast.Constant) else set()
    elif node.level == 0:
        names = {node.module}
        if node.module.split(".")[0] == "rnncore":
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names = {name for name in inside if name.removeprefix("rnncore.") in MODULES} or names
    else:
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        base = [part for part in package if part][: len(package) - node.level + 1]
        base += node.module.split(".") if node.module else []
        inside = {".".join([*base, alias.name]) for alias in node.names}
        return {name for name in inside if name in MODULES} or {".".join(base)}, set()
    own = {name.partition(".")[2] for name in names if name.split(".")[0] == "rnncore"}
    return own, {name.split(".")[0] for name in names} - {"rnncore", ""}


def imports(module, in_functions=True):
    """(own modules, other top-level packages) that a module loads."""
    path = MODULES[module]
    own, other = set(), set()
    for node in nodes(tree_of(path), in_functions):
        found, foreign = resolve(module, path, node)
        own |= found
        other |= foreign
    return own, other


ALL = {module: imports(module)[0] for module in MODULES}
AT_IMPORT = {module: imports(module, in_functions=False) for module in MODULES}


def reached(module, graph):
    """All own modules that loading a module loads, without itself unless it is among them."""
    found, todo = set(), list(graph[module])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(graph[name])
    return found


def part_of(module):
    return module.split(".")[0]


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_follow_the_direction_of_the_folders(part):
    allowed = {part, *MAY_IMPORT[part]}
    wrong = {
        (module, part_of(name))
        for module in MODULES
        if part_of(module) == part
        for name in ALL[module]
        if part_of(name) not in allowed
    }
    assert wrong - KNOWN == set()


def test_every_module_has_its_place():
    assert {part_of(module) for module in MODULES} - {""} <= set(MAY_IMPORT)


def test_what_is_known_is_still_there():
    found = {(module, part_of(name)) for module in MODULES for name in ALL[module]}
    assert found >= KNOWN


def test_there_are_no_circles():
    """But for what is in KNOWN, and for the package itself, which loads its parts."""
    graph = {
        module: {name for name in names if name and (module, part_of(name)) not in KNOWN}
        for module, names in ALL.items()
    }
    assert [module for module in MODULES if module in reached(module, graph)] == []


def test_importing_the_package_needs_numpy_only():
    graph = {module: own for module, (own, _) in AT_IMPORT.items()}
    loaded = {"", *reached("", graph)}
    foreign = {name for module in loaded for name in AT_IMPORT[module][1]}
    assert foreign - set(sys.stdlib_module_names) == {"numpy"}
    late = {"nn", "formats", "reference", "estimators", "forecast", "torch", "bench", "cli"}
    assert {part_of(module) for module in loaded} & late == set()
