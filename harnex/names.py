"""Two-word names for sessions that were given no name."""

from __future__ import annotations

import random

FIRST = (
    "amber bold brave brisk calm clear cool crisp deft eager early fair fleet fond frank fresh gentle glad golden "
    "grand green happy hardy keen kind lean light lively loyal lucid lucky mellow merry mild neat nimble noble "
    "plain proud quick quiet rapid ready royal sharp shy silver smart snug solid spry steady still stout sunny "
    "sure swift tidy true vivid warm wise witty young "
).split()
SECOND = (
    "acorn aspen badger beacon birch bison brook cedar clover comet coral crane creek daisy delta dune eagle elm "
    "ember falcon fern finch fjord forest fox glade grove harbor hawk hazel heron hill iris island ivy jay "
    "juniper lake lark lily linden lotus lynx maple marsh meadow moss oak otter owl pine plum pond poplar quail "
    "raven reed river robin rose sage seal spruce stone swan thrush tulip wren "
).split()


def two_words(taken: set[str]) -> str:
    """A name that is not in `taken`, such as `quiet-otter`."""
    for _ in range(200):
        name = f"{random.choice(FIRST)}-{random.choice(SECOND)}"
        if name not in taken:
            return name
    return f"{random.choice(FIRST)}-{random.choice(SECOND)}-{random.randrange(10000)}"
