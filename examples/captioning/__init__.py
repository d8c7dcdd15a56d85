# SPDX-License-Identifier: MIT
"""Captions from keywords; run it with ``python -m examples.captioning``."""
