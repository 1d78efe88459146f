"""Damaged case files: words and signs deleted, doubled, exchanged or put in, and bytes changed."""

from __future__ import annotations

import re
from random import Random

_WORD = re.compile(r"[A-Za-z_]\w*|[0-9.]+|\s+|.", re.DOTALL)
_SIGNS = "' \" % # ; , : ( ) [ ] { } + - * / ^ ~ & | = < > . 0 1 2 3 e ... == && || ~= .' .* ++ -- [] 1:2"
_WORDS = "end if else elseif for while switch case return break continue function mpc mpc.t a b clear"
_PIECES = [
    *_SIGNS.split(),
    *_WORDS.split(),
    *(
        "\n",
        "\r",
        "\t",
        "  ",
        " -",
        "- ",
        "' ",
        "%{\n",
        "%}\n",
        "(:,1)",
        "(end)",
        "{1}",
        "zeros(2,2)",
        "find",
        "size",
    ),
    *("1e308", "NaN", "Inf", "\x85", "\u2028", "\x0c", "true", "disp ", "mpc.bus(1,3)=9;", "mpc.gen=[];"),
]
# Characters that programs for another reader, Octave, are not damaged with.
_FOREIGN = ("\x85", "\u2028", "\x0c", "1e308")


def mutated_text(random: Random, text: str, foreign: bool = True) -> str:
    """The text with one to three words or signs changed."""
    pieces = [piece for piece in _PIECES if foreign or piece not in _FOREIGN]
    words = _WORD.findall(text)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        place, change = random.randrange(len(words)), random.randrange(6)
        if change == 0 and len(words) > 1:
            del words[place]
        elif change == 1:
            words.insert(place, random.choice(pieces))
        elif change == 2:
            words[place] = random.choice(pieces)
        elif change == 3:
            other = random.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        elif change == 4:
            words.insert(place, random.choice(words))
        else:
            other = min(len(words), place + random.randrange(40))
            words[place:place] = words[place:other]
    return "".join(words)


def mutated_bytes(random: Random, data: bytes) -> bytes:
    """The file with one to twenty bytes changed, deleted or put in, or its end cut off."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        place, change = random.randrange(len(changed)), random.randrange(4)
        if change == 0:
            changed[place] ^= 1 << random.randrange(8)
        elif change == 1:
            changed[place] = random.randrange(256)
        elif change == 2:
            changed[place:place] = bytes([random.randrange(256)])
        else:
            del changed[place : place + random.choice((1, 1, 7, 200))]
        if not changed:
            break
    return bytes(
        changed[: random.randrange(1, len(changed))] if changed and random.random() < 0.1 else changed
    )
