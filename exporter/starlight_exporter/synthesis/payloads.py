"""Generate payloads, the texts hidden in stego images: random UTF-8 of several kinds and any length."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from starlight_exporter.synthesis.random_choice import choose_kind_name

Rng = np.random.Generator


def _vocabulary(words: str) -> list[str]:
    return words.split()


ENGLISH = _vocabulary(
    "the of and to in a is that it was for on are as with his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after words called just where most know get through back "
    "much before go good new write our used me man too any day same right look think also around another came come "
    "work three word must because does part even place well such here take why things help put years away again "
    "off went old number great tell men say small every found still between name should home big give air line set own "
    "under read last never us left end along while might next sound below saw something thought both few those always "
    "looked show large often together asked house world going want school important until form food keep children feet "
    "land side without boy once animals life enough took sometimes four head above kind began almost live page got "
    "earth need far hand high year mother light parts country father let night following picture being study second "
    "eyes soon times story boys since white days ever paper hard near sentence better best across during today others "
    "however sure means knew try told young miles sun ways thing whole hear example heard several change answer room "
    "sea against top turned learn point city play toward five using himself usually money seen car morning river "
    "harbour letter signal window evening winter garden captain silence bridge engine memory stone copper lantern"
)
ACCENTED = _vocabulary(
    "déjà être où français élève à côté naïve cœur über größer schön Straße Mädchen für können müssen niño señor "
    "mañana corazón también está años não informação amanhã świat żółty źródło dziękuję příliš žluťoučký kůň çok güzel "
    "İstanbul öğrenci året måske smørrebrød blåbær þetta það kvöld tervetuloa äiti yö"
)
CYRILLIC = _vocabulary(
    "привет мир сегодня утром мы пошли домой через старый город и река была тихой никто не знал что будет завтра "
    "письмо пришло поздно вечером осталось только ждать сообщение скрыто внутри картины"
)
GREEK = _vocabulary(
    "καλημέρα κόσμε σήμερα το πρωί η θάλασσα ήταν ήσυχη και ο ουρανός γαλανός κανείς δεν ήξερε τι θα γίνει αύριο"
)
CHINESE = _vocabulary("今天 早上 我们 去 河边 散步 没有 人 知道 明天 会 怎样 这 封 信 藏在 图片 里面 小心 保管")
JAPANESE = _vocabulary("今日は 朝から 雨が 降って いました 手紙は 画像の 中に 隠されて います 明日 また ありがとう")
IDENTIFIERS = _vocabulary(
    "data value result index count name path size buffer token offset total items config state user message image "
    "header length start end key cache request response error handler node queue weight bias step loss"
)


@dataclass(frozen=True, slots=True)
class Payload:
    """A text to embed: its kind (letters only, part of the file name) and its UTF-8 bytes, not zero-terminated."""

    kind: str
    text: bytes


def make_payload(rng: Rng, size: int) -> Payload:
    """Return a payload of `size` bytes, or a few less to avoid cutting a character. It contains no zero byte."""
    kind = choose_kind_name(rng, _KINDS)
    write = _KINDS[kind][1]
    text = write(rng, size)
    while len(text) < size:
        text += b"\n" + write(rng, size)
    return Payload(kind, text[:size].decode("utf-8", "ignore").encode())


def _words(rng: Rng, vocabulary: list[str], count: int) -> list[str]:
    return [vocabulary[i] for i in rng.integers(0, len(vocabulary), count)]


def _sentences(rng: Rng, vocabulary: list[str], size: int, *, mean_word: float = 5.0) -> str:
    words = _words(rng, vocabulary, int(size / mean_word) + 16)
    ends = rng.integers(4, 18, len(words))
    marks = rng.choice(np.array([". ", ". ", ". ", ".\n", ", ", "? ", "! ", " - ", ";\n"]), len(words))
    pieces: list[str] = []
    at = 0
    for length, mark in zip(ends.tolist(), marks.tolist(), strict=True):
        if at >= len(words):
            break
        sentence = " ".join(words[at : at + length])
        pieces.append(sentence[:1].upper() + sentence[1:])
        pieces.append(mark)
        at += length
    return "".join(pieces)


def _prose(rng: Rng, size: int) -> bytes:
    return _sentences(rng, ENGLISH, size).encode()


def _letter(rng: Rng, size: int) -> bytes:
    names = ("Anna", "Tom", "Mr Hill", "Maria", "Sir", "friend", "Dr Chen", "all")
    opening = f"Dear {names[int(rng.integers(len(names)))]},\n\n"
    vocabulary = ENGLISH + ACCENTED if rng.random() < 0.15 else ENGLISH
    return (opening + _sentences(rng, vocabulary, size)).encode()


def _other_scripts(rng: Rng, size: int) -> bytes:
    vocabulary = (ACCENTED, CYRILLIC, GREEK, CHINESE, JAPANESE)[int(rng.integers(5))]
    return _sentences(rng, vocabulary, size, mean_word=4.0).encode()


def _json(rng: Rng, size: int) -> bytes:
    indent = "\n  " if rng.random() < 0.5 else ""
    keys = _words(rng, IDENTIFIERS, size // 12 + 8)
    words = _words(rng, ENGLISH, 2 * len(keys))
    numbers = rng.integers(0, 100000, len(keys)).tolist()
    shapes = rng.integers(0, 4, len(keys)).tolist()
    parts = []
    for i, (key, number, shape) in enumerate(zip(keys, numbers, shapes, strict=True)):
        value = (f"{number}", f'"{words[2 * i]} {words[2 * i + 1]}"', f"{number / 100}", "true")[shape]
        parts.append(f'"{key}": {value}')
    return ("{" + indent + f",{indent or ' '}".join(parts) + "}").encode()


def _code(rng: Rng, size: int) -> bytes:
    lines_needed = size // 24 + 6
    names = _words(rng, IDENTIFIERS, 4 * lines_needed)
    numbers = rng.integers(0, 256, lines_needed).tolist()
    shapes = rng.integers(0, 7, lines_needed).tolist()
    braces = rng.random() < 0.5
    lines = []
    for i, (number, shape) in enumerate(zip(numbers, shapes, strict=True)):
        a, b, c, d = names[4 * i : 4 * i + 4]
        if braces:
            forms = (
                f"function {a}({b}, {c}) {{",
                f"  const {a} = {b}.{c}({number});",
                f"  if ({a} > {number}) return {b};",
                f"  {a}[{b}] += {c} * {number};",
                "}",
                f"  // {a} of {b}",
                f"  for (let i = 0; i < {a}; i++) {b}.push({c});",
            )
        else:
            forms = (
                f"def {a}_{b}({c}, {d}={number}):",
                f"    {a} = {b}.{c}({number})",
                f"    if {a} > {number}:",
                f"        return {b}[{c}]",
                f"    # {a} of {b} and {c}",
                f"import {a}",
                f"    for {a} in {b}: {c}.append({a})",
            )
        lines.append(forms[shape])
    return "\n".join(lines).encode()


def _base64(rng: Rng, size: int) -> bytes:
    raw = base64.b64encode(rng.bytes(size * 3 // 4 + 3))
    if rng.random() < 0.5:
        return b"\n".join(raw[i : i + 76] for i in range(0, len(raw), 76))
    return raw


def _hexadecimal(rng: Rng, size: int) -> bytes:
    return rng.bytes(size // 2 + 1).hex().encode()


def _numbers(rng: Rng, size: int) -> bytes:
    columns = int(rng.integers(1, 7))
    values = rng.normal(0.0, 10.0 ** float(rng.integers(0, 4)), size // 5 + columns)
    digits = int(rng.integers(0, 4))
    cells = [f"{value:.{digits}f}" for value in values.tolist()]
    return "\n".join(",".join(cells[i : i + columns]) for i in range(0, len(cells), columns)).encode()


def _log(rng: Rng, size: int) -> bytes:
    count = size // 40 + 4
    names = _words(rng, IDENTIFIERS, 2 * count)
    levels = _words(rng, ["INFO", "WARN", "ERROR", "DEBUG"], count)
    seconds = np.cumsum(rng.integers(0, 90, count)) + int(rng.integers(0, 40000))
    lines = [
        f"2024-{1 + s // 86400 % 12:02d}-17 {s // 3600 % 24:02d}:{s // 60 % 60:02d}:{s % 60:02d} {level} "
        f"{names[2 * i]}: {names[2 * i + 1]}={s % 997}"
        for i, (s, level) in enumerate(zip(seconds.tolist(), levels, strict=True))
    ]
    return "\n".join(lines).encode()


def _markdown(rng: Rng, size: int) -> bytes:
    text = _sentences(rng, ENGLISH, size)
    return "\n\n".join(
        (f"## {line[:24]}" if i % 5 == 0 else f"- {line}" if i % 2 else f"**{line[:12]}** {line}")
        for i, line in enumerate(text.split(". "))
    ).encode()


_KINDS: dict[str, tuple[float, Callable[[Rng, int], bytes]]] = {
    "prose": (0.27, _prose),
    "letter": (0.13, _letter),
    "json": (0.13, _json),
    "code": (0.13, _code),
    "base64": (0.09, _base64),
    "hex": (0.04, _hexadecimal),
    "numbers": (0.06, _numbers),
    "log": (0.05, _log),
    "markdown": (0.06, _markdown),
    "scripts": (0.04, _other_scripts),
}
"""Kind → share and generator."""
