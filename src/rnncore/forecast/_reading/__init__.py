# SPDX-License-Identifier: MIT
"""Series from files: what the cells of a table mean, which calendar its times follow, or why it is refused; pandas."""
