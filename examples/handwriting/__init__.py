# SPDX-License-Identifier: MIT
"""Handwriting generation; run it with ``python -m examples.handwriting``."""
