# SPDX-License-Identifier: MIT
"""Pages of the repository in the site, and links as they are written for the repository.

Pages outside docs/ (OUTSIDE) are copied in. A link or a picture, relative to the file it stands in, leads to the
page of the site that shows this file, else to a copy of the file. A <picture> follows the theme's switch.
"""

import os
import re
import shutil
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))
OUTSIDE = {
    "project/contributing": ROOT / "CONTRIBUTING.md",
    "project/changes": ROOT / "CHANGELOG.md",
    "project/security": ROOT / "SECURITY.md",
    "project/support": ROOT / "SUPPORT.md",
    "project/c-sources": ROOT / "csrc/README.md",
    "project/benchmarks": ROOT / "bench/README.md",
    **{f"examples/{name}": ROOT / "examples" / name / "README.md" for name in EXAMPLES},
}
"""Files outside docs/ by the name of their page."""
CONTENTS = {"gallery": "/examples/*", "decisions/README": "0*"}
"""Pages that are also the head of others, with the pattern of those."""
PICTURE = re.compile(
    r'<picture>\s*<source [^>]*srcset="(?P<dark>[^"]+)">\s*'
    r'<img alt="(?P<alt>[^"]+)" src="(?P<light>[^"]+)">\s*</picture>'
)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```+|~~~+|:::+)[^\n]*\n.*?^\1\s*?$", re.MULTILINE | re.DOTALL)


def copy_pages(app):
    """Copy the pages of OUTSIDE; a file that is the same stays, so that it is not read again."""
    for name, source in OUTSIDE.items():
        target = DOCS / f"{name}.md"
        target.parent.mkdir(exist_ok=True)
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def origin(docname):
    """The file that a page was written as."""
    return OUTSIDE.get(docname, DOCS / f"{docname}.md")


def shown(app):
    """Pages of the site by the file that each was written as; a folder stands for its README."""
    pages = {origin(docname): docname for docname in app.env.found_docs}
    pages |= {path.parent: name for path, name in pages.items() if path.name == "README.md"}
    return pages | {ROOT / "README.md": "index", ROOT: "index"}


def relative(path, docname):
    """A path as seen from a page's place in docs/."""
    return Path(os.path.relpath(path, (DOCS / docname).parent)).as_posix()


def rewrite(text, docname, pages):
    """A page's text with its links as the site needs them."""
    folder = origin(docname).parent

    def link(match):
        picture, words, target = match.groups()
        path, _, part = target.partition("#")
        if not path or ":" in path:
            return match[0]
        found = Path(os.path.normpath(folder / path))
        if found in pages:
            place = f"{relative(DOCS / pages[found], docname)}.md" + (f"#{part}" if part else "")
        elif found == DOCS / "playground/index.html":
            return f'<a href="{relative(found, docname)}">{words}</a>'
        elif found.is_dir() or found.suffix == ".md":
            return words
        else:
            place = relative(found, docname)
        return f"{picture}[{words}]({place})"

    def theme_pair(match):
        places = {theme: relative(folder / match[theme], docname) for theme in ("light", "dark")}
        return "\n".join(f"![{match['alt']}]({place}){{.only-{theme}}}" for theme, place in places.items())

    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [LINK.sub(link, text[end : fence.start()]), fence[0]]
        end = fence.end()
    parts.append(LINK.sub(link, text[end:]))
    return PICTURE.sub(theme_pair, "".join(parts))


def read(app, docname, source):
    """Sphinx's event: a page has been read."""
    if Path(app.env.doc2path(docname)).suffix == ".md":
        source[0] = rewrite(source[0], docname, shown(app))
    if docname in CONTENTS:
        source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{CONTENTS[docname]}\n```\n"


def setup(app):
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
