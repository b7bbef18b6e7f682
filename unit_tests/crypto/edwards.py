"""A slow reference of edwards25519 (RFC 8032, 5.1), for signatures that no library makes."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    cross = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + cross, -1, P)
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - cross, -1, P)
    return x % P, y % P


def multiply(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def recover_x(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return P - x if x and x % 2 != sign else x


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(raw: bytes) -> Point | None:
    """Decode as laxly as careless libraries do: non-canonical encodings as well."""
    number = int.from_bytes(raw, "little")
    y = (number & (2**255 - 1)) % P
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y)


BASE_Y = 4 * pow(5, -1, P) % P
BASE: Point = (recover_x(BASE_Y, 0) or 0, BASE_Y)


def secret_scalar(seed: bytes) -> int:
    raw = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return raw & ((1 << 254) - 8) | (1 << 254)


def challenge(r: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + public + message).digest(), "little") % L


def lax_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Verify with the cofactor, accepting small orders and any S: what our verify must not be."""
    key, r = decode(public), decode(signature[:32])
    if key is None or r is None:
        return False
    s = int.from_bytes(signature[32:], "little")
    right = add(r, multiply(challenge(signature[:32], public, message), key))
    return multiply(8, multiply(s, BASE)) == multiply(8, right)
