"""What is worth telling about a cluster while it is watched, each thing once: pure comparison of snapshots.

`conditions` says what is not as it should be, or is under way, in one snapshot; `cover` adds what the loss of each node
would mean. `hysteresis` compares that with what was said before, and `occurrences` puts it into words.
"""
