# SPDX-License-Identifier: MIT
"""Published models; run it with ``python -m examples.models``."""
