# SPDX-License-Identifier: MIT
"""``rnncore forecast`` from the first line that it prints to the last file that it writes."""
