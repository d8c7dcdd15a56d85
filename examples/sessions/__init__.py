# SPDX-License-Identifier: MIT
"""Sessions that move between workers in mid-stream; run it with ``python -m examples.sessions``."""
