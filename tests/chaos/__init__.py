"""Chaos: thousands of orders under every fault and kill, and three books that must agree after it.

`schedule` is what will happen, a pure function of a seed; `trader` is the arena's side, a process of
its own that is killed and comes back; `campaign` runs it all; `books` compares what each side wrote
down; `story` tells it to people.
"""
