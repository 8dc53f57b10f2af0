"""The benchmark: imagefs beside other programs that do the same job, in one interleaved run (`make bench`).

A row is one job; in each round every program does it once, in turn, and the round's ratio is the peer's figure over ours.
What is reported is the median of each: a ratio above 1 means that imagefs is better. Absolute times swing with the machine,
ratios of one round much less.

material   the images, made once below build/bench
twins      the same in other containers and wrappers
programs   who is compared: how each one mounts, and what its process weighs
jobs       what is measured
rows       which job, which programs, on which image
report     the table, build/bench.json and the README's part
"""
