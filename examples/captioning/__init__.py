# SPDX-License-Identifier: MIT
"""Captions from keywords."""
