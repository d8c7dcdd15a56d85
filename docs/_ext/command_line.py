# SPDX-License-Identifier: MIT
"""The page of the command line: arguments and options of every command, as the program itself tells them."""

import contextlib
import io
import os
import re
from pathlib import Path

import typer

OUT = Path(__file__).resolve().parents[1] / "reference/command-line.md"
HEAD = """<!-- SPDX-License-Identifier: MIT -->
# The command line

`pip install "rnncore[cli]"` brings the command `rnncore`; `python -m rnncore` is the same. What stands here is what
`rnncore COMMAND --help` shows.
"""
WIDTH = "88"


def help_text(command, *arguments):
    """What a command that reads its arguments itself prints for --help."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = WIDTH
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command.main([*arguments, "--help"], prog_name="rnncore")
    return f"```text\n{printed.getvalue().strip()}\n```"


def entry(parameter, context):
    """An argument or an option as an entry of a definition list."""
    spelling, words = parameter.get_help_record(context)
    spelling = re.sub(r"<list\[(\w+)[^>]*>", r"<\1>", spelling)
    spelling = re.sub(r"<(\w+)(?: range)?>", lambda match: match[1].upper(), spelling)
    return f"`{spelling}`\n: {words.replace('[', '(').replace(']', ')')}"


def section(name, command, top):
    """A command's part of the page."""
    from rnncore.bench.__main__ import COMMANDS

    head = f"## rnncore {name}\n\n{command.help or ''}"
    if command.context_settings.get("ignore_unknown_options"):
        parts = [head, help_text(top, name)]
        for sub in COMMANDS if name == "bench" else ():
            parts += [f"### rnncore {name} {sub}", help_text(top, name, sub)]
        return "\n\n".join(parts)
    context = typer.Context(command, info_name=name, parent=typer.Context(top, info_name="rnncore"))
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    known = [entry(parameter, context) for parameter in command.params if parameter.get_help_record(context)]
    return "\n\n".join([head, f"```text\n{usage}\n```", *known])


def render():
    """The page."""
    from rnncore.cli import app

    top = typer.main.get_command(app)
    return "\n\n".join([HEAD, *(section(name, part, top) for name, part in top.commands.items())]) + "\n"


def write(app):
    """Write the page, if it has changed."""
    text = render()
    if not OUT.is_file() or OUT.read_text("utf-8") != text:
        OUT.write_text(text, "utf-8")


def setup(app):
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
