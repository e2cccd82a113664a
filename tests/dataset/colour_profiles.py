"""Colour profiles of a few hundred bytes, made by hand."""

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import product

D50 = (0.9642, 1.0, 0.8249)
# Red, green and blue, as seen under D50.
PRIMARIES = {
    "sRGB": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "ProPhoto": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
}


def srgb_curve(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


CURVES: dict[str, Callable[[float], float]] = {
    "sRGB": srgb_curve,
    "Display P3": srgb_curve,
    "Adobe RGB": lambda value: value**2.19921875,
    "ProPhoto": lambda value: value**1.8,
}


def icc(space: bytes, tags: Mapping[bytes, bytes], *, kind: bytes = b"mntr", between: bytes = b"XYZ ") -> bytes:
    """A profile of version 2.4 with these tags, each with its type in front."""
    table, body = struct.pack(">I", len(tags)), b""
    first = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", first + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    date = struct.pack(">6H", 2025, 1, 1, 0, 0, 0)
    head = b"test" + struct.pack(">I", 0x02400000) + kind + space + between + date + b"acsp" + bytes(28)
    head += numbers(D50) + bytes(48)
    return struct.pack(">I", first + len(body)) + head + table + body


def numbers(values: Sequence[float]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + numbers(values)


def curve(of: Callable[[float], float], points: int = 1024) -> bytes:
    values = [round(of(place / (points - 1)) * 65535) for place in range(points)]
    return b"curv" + bytes(4) + struct.pack(f">I{points}H", points, *values)


def rgb_profile(name: str) -> bytes:
    made = {b"wtpt": xyz(D50)}
    for letter, primary in zip((b"r", b"g", b"b"), PRIMARIES[name], strict=True):
        made |= {letter + b"XYZ": xyz(primary), letter + b"TRC": curve(CURVES[name])}
    return icc(b"RGB ", made)


def grey_profile(gamma: float) -> bytes:
    return icc(b"GRAY", {b"wtpt": xyz(D50), b"kTRC": curve(lambda value: value**gamma)})


def cmyk_profile() -> bytes:
    """Inks that print darker and duller than the naive sum, in a table of 16 mixtures."""
    inks = ((0.55, -37, -50), (0.48, 74, -3), (0.89, -5, 93), (0.16, 0, 0))
    table = b""
    for used in product((0, 1), repeat=4):
        light, a, b = 1.0, 0.0, 0.0
        for amount, (darker, over_a, over_b) in zip(used, inks, strict=True):
            if amount:
                light, a, b = light * darker, a + over_a, b + over_b
        if used[3]:
            a, b = 0.0, 0.0
        table += bytes((round(light * 255), round(a) + 128, round(b) + 128))
    straight = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + numbers((1, 0, 0, 0, 1, 0, 0, 0, 1))
    lut += straight * 4 + table + straight * 3
    tags = {b"wtpt": xyz(D50), b"A2B0": lut, b"A2B1": lut, b"A2B2": lut}
    return icc(b"CMYK", tags, kind=b"prtr", between=b"Lab ")


def endless_chain(steps: int) -> bytes:
    """Display P3 with a second way, of so many steps that are all the same one."""
    places = struct.pack(">II", 16 + 8 * steps, 52) * steps
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3) + struct.pack(">12f", 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
    chain = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, steps) + places + matrix
    made = {b"wtpt": xyz(D50), b"D2B0": chain, b"D2B1": chain}
    for letter, primary in zip((b"r", b"g", b"b"), PRIMARIES["Display P3"], strict=True):
        made |= {letter + b"XYZ": xyz(primary), letter + b"TRC": curve(srgb_curve)}
    return icc(b"RGB ", made)
