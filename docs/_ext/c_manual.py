# SPDX-License-Identifier: MIT
"""The manual page of the C library, from rnncore.h: a comment becomes prose, what follows it a block of C.

A section of the header, ``/* -- Title -- */``, is one of the page; every name that a block declares gets an anchor and
a place in the table at the top.
"""

import re
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
HEADER = DOCS.parent / "csrc/include/rnncore.h"
OUT = DOCS / "reference/c.md"
SECTION = re.compile(r"^/\* -- (.+?) -+ \*/$", re.MULTILINE)
COMMENT = re.compile(r"^/\*.*?\*/$", re.MULTILINE | re.DOTALL)
DECLARED = re.compile(
    r"^#define (RNNCORE_\w+)|^\} (\w+);|^RNNCORE_API [^;(]*?\*?(\w+)\("
    r"|^typedef struct \w+ (\w+);|^enum \{ (RNNCORE_\w+)",
    re.MULTILINE,
)
INTRODUCTION = """<!-- SPDX-License-Identifier: MIT -->
# The C library

Written from [rnncore.h](../../csrc/include/rnncore.h), whose comments are the manual. How to build it and use it, with
programs: [the C library in your program](../howto/embedding.md).
"""


def prose(comment):
    """A comment as Markdown: lines that are indented stay as they are, the others run on."""
    lines = [re.sub(r"^ \* ?", "", line) for line in comment[2:-2].strip().split("\n")]
    lines = [line.rstrip() for line in lines if not line.startswith("SPDX")]
    parts, literal = [], None
    for line in lines:
        indented = line.startswith("  ")
        if indented != literal or not line:
            parts.append([])
        parts[-1].append(line)
        literal = indented
    return "\n\n".join(filter(None, map(paragraph, parts)))


def paragraph(lines):
    """A run of lines that are all indented or all not."""
    text = "\n".join(lines).strip("\n")
    if text.startswith("  "):
        return f"```text\n{textwrap.dedent(text)}\n```"
    # Names and other code in a comment have no marks; what Markdown would read as marks is escaped.
    words = re.sub(r"(?<![\w`])(\*?rnncore_\w+|RNNCORE_\w+)", r"`\1`", text.strip())
    return re.sub(r"(?<!`)\*(?!`)|[<>|]", lambda match: f"\\{match[0]}", words)


def names(code):
    """What a block of C declares, in order."""
    return [next(filter(None, match.groups())) for match in DECLARED.finditer(code)]


def block(code):
    """A block of C under the anchors of its names."""
    anchors = "\n".join(f"({name.lower()})=" for name in names(code))
    return f"{anchors}\n```c\n{code}\n```".lstrip()


def body(text):
    """Prose and blocks of one section."""
    parts, end = [], 0
    for comment in COMMENT.finditer(text):
        parts += [block(code) for code in text[end : comment.start()].strip().split("\n\n") if code]
        parts.append(prose(comment[0]))
        end = comment.end()
    return parts + [block(code) for code in text[end:].strip().split("\n\n") if code]


def render(header):
    """The page of a header's text."""
    text = header[: header.rindex("#ifdef __cplusplus")]
    opening, *rest = SECTION.split(text)
    parts = [prose(COMMENT.search(opening)[0])]
    table = ["| section | declares |", "| --- | --- |"]
    for title, part in zip(rest[::2], rest[1::2], strict=True):
        found = [name for code in body(part) if "```c" in code for name in names(code)]
        if found:
            table.append(f"| {title} | {', '.join(f'[`{name}`](#{name.lower()})' for name in found)} |")
        parts += [f"## {title}", *body(part)]
    return "\n\n".join([INTRODUCTION, parts[0], "\n".join(table), *parts[1:]]) + "\n"


def write(app):
    """Write the page, if it has changed."""
    text = render(HEADER.read_text("utf-8"))
    if not OUT.is_file() or OUT.read_text("utf-8") != text:
        OUT.write_text(text, "utf-8")


def setup(app):
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
