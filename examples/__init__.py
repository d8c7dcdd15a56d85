# SPDX-License-Identifier: MIT
"""The example applications, each a package that is run from the repository's root: ``python -m examples.handwriting``.

All have the same layout: ``README.md``, ``__main__.py`` with ``--quick``, and in ``results/`` log and pictures
of the run that the README tells of. Runs write to ``runs/NAME``.
"""
