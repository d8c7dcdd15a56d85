# SPDX-License-Identifier: MIT
"""Pages of the Python reference: one for each module of MODULES, one for each public name, from its docstring."""

import ast
import importlib
import inspect
import itertools
import textwrap
from pathlib import Path

from sphinx.ext.autodoc.mock import mock

OUT = Path(__file__).resolve().parents[1] / "reference/python"
MODULES = {
    "rnncore": "layers, files, choices",
    "rnncore.nn": "modules, losses, optimisers, training runs",
    "rnncore.cluster": "workers that train together; scoring anywhere; a model for each group",
    "rnncore.cluster.ray": "scoring, and models for groups, on Ray",
    "rnncore.cluster.spark": "scoring, and models for groups, on Spark",
    "rnncore.cluster.dask": "scoring, and models for groups, on Dask",
    "rnncore.torch": "layers for PyTorch",
    "rnncore.jax": "layers for JAX",
    "rnncore.estimators": "scikit-learn's interface",
    "rnncore.ragged": "columns of sequences",
    "rnncore.blocks": "files larger than memory",
    "rnncore.forecast": "forecasts of time series",
    "rnncore.formats": "files of other systems",
    "rnncore.engine": "the core, with anybody's arrays",
    "rnncore.reference": "the NumPy twins",
    "rnncore.threadpoolctl": "threads, for who limits those of all libraries",
    "rnncore.errors": "exceptions",
}
"""Public modules, with what is in them; one that is not there is left out."""
OWNERS = ("rnncore.errors", "rnncore.nn", "rnncore")
"""A name that several modules give has its page in the first of these, else in the first of MODULES."""
INTERNAL = {
    "bench": "the command rnncore bench",
    "cli": "the command line",
    "interrupts": "how commands end when they are interrupted",
    "layers": "its names are rnncore's",
    "spec": "what layers are, for the parts of the package; users meet engine.Spec",
    "verify": "the command rnncore verify",
    "version": "rnncore.__version__",
}
"""Modules that have no page, each with the reason."""


def modules():
    """The public modules that are there, by name."""
    found = {name: importlib.util.find_spec(name) for name in MODULES}
    return {name: importlib.import_module(name) for name, spec in found.items() if spec}


def public(module):
    """Public names of a module: `__all__`, else the classes that it defines."""
    here = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")
    ]
    return sorted(getattr(module, "__all__", here), key=str.lower)


def pages():
    """For each module, its public names and the full name under which each is described."""
    found = modules()
    owner = {}
    for module in (*OWNERS, *MODULES):
        for name in public(found[module]) if module in found else ():
            owner.setdefault(key(getattr(found[module], name)), f"{module}.{name}")
    return {
        module: {name: owner[key(getattr(value, name))] for name in public(value)}
        for module, value in found.items()
    }


def key(value):
    """What tells objects apart: modules by name, as they have pages of their own."""
    return value.__name__ if inspect.ismodule(value) else id(value)


def directive(full, value):
    """What describes a value."""
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
        return f".. {kind}:: {full}\n   :members:\n   :inherited-members:\n   :special-members: __call__"
    if callable(value):
        return f".. autofunction:: {full}"
    return f".. py:data:: {full}\n\n" + textwrap.indent(words_below(full), "   ")


def words_below(full):
    """The string below the assignment to a name, in the module of the package that makes it."""
    package, _, name = full.rpartition(".")
    folder = Path(importlib.import_module(package).__file__).parent
    for path in sorted(folder.glob("*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        for statement, below in itertools.pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            if name in [getattr(target, "id", None) for target in targets] and isinstance(below, ast.Expr):
                return inspect.cleandoc(below.value.value)
    raise LookupError(f"{full}: expected a string below its assignment, got none")


def name_page(full, value):
    """The page of a name."""
    title = full.rpartition(".")[2]
    return f"{title}\n{'=' * len(title)}\n\n{directive(full, value)}\n"


def module_page(module, names):
    """The page of a module: its docstring, a table of what it owns, and what it gives from elsewhere."""
    mine = [name for name, full in names.items() if full == f"{module}.{name}" and full not in MODULES]
    others = {name: full for name, full in names.items() if name not in mine}
    indent = "\n   "
    parts = [f"{module}\n{'=' * len(module)}", f".. automodule:: {module}"]
    if mine:
        parts.append(".. autosummary::\n   :nosignatures:\n" + indent + indent.join(mine))
    if others:
        lines = [f"- ``{module}.{name}`` is :doc:`{full}`" for name, full in others.items()]
        parts += ["From elsewhere:", "\n".join(lines)]
    if mine:
        parts.append(
            ".. toctree::\n   :hidden:\n" + indent + indent.join(f"{module}.{name}" for name in mine)
        )
    return "\n\n".join(parts) + "\n"


def write(app):
    """Write all pages; a page that is the same is left alone, one of a name that has gone is removed."""
    OUT.mkdir(parents=True, exist_ok=True)
    texts = {}
    with mock(app.config.autodoc_mock_imports):
        found = modules()
        for module, names in pages().items():
            texts[module] = module_page(module, names)
            for name, full in names.items():
                if full == f"{module}.{name}" and full not in MODULES:
                    texts[full] = name_page(full, getattr(found[module], name))
    for path in OUT.glob("*.rst"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        path = OUT / f"{name}.rst"
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def skip(app, what, name, value, skipped, options):
    """Sphinx's event: leave out what a class inherits from elsewhere, such as torch.nn.Module."""
    module = getattr(value, "__module__", None) or getattr(getattr(value, "fget", None), "__module__", None)
    return True if module and not module.startswith("rnncore") else None


def list_modules(app, docname, source):
    """Sphinx's event: the contents of the reference name the modules that are there."""
    if docname == "reference/index":
        with mock(app.config.autodoc_mock_imports):
            found = modules()
        rows = [f"| [`{name}`](python/{name}.rst) | {MODULES[name]} |" for name in found]
        source[0] = source[0].replace("| python/* |", "\n".join(rows))
        source[0] = source[0].replace("python/*", "\n".join(f"python/{name}" for name in found))


def setup(app):
    app.connect("source-read", list_modules)
    app.connect("env-get-outdated", lambda *event: ["reference/index"])  # its modules may be others now
    app.connect("builder-inited", write)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
