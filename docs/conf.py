# SPDX-License-Identifier: MIT
"""Settings of the site: Sphinx, MyST, the pydata theme. Nothing is fetched, when it is built or when it is read."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import rnncore  # noqa: E402

project = "rnncore"
author = "the rnncore developers"
copyright = "the rnncore developers, MIT license"
version = release = rnncore.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "repository_pages",
    "python_reference",
    "c_manual",
    "command_line",
    "playground",
]
exclude_patterns = ["_build", "_ext", "playground/*.html"]
language = "en"

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 4

default_role = "py:obj"  # `name` in a docstring: a link where there is such a name, else code
autodoc_typehints = "none"  # types stand in words under Parameters
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch", "jax", "sklearn"]  # the same pages whether or not they are installed
autosummary_generate = False  # python_reference writes the pages
numpydoc_show_class_members = False
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "rnncore"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "rnncore"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "github-light",
    "pygments_dark_style": "github-dark",
}
