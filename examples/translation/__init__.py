# SPDX-License-Identifier: MIT
"""English to French."""
