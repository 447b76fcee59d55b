"""Duplicate pictures: identical ones, and copies that were compressed or resized."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float32

from eseg.doctor.facts import FilePair, PairFacts
from eseg.doctor.findings import Finding, Kind, counted

Splits = Mapping[str, Sequence[PairFacts]]

NEAR = 1.5
"""Largest root mean square difference of grey levels between the thumbnails of copies.

Measured: copies as JPEG of quality 20 differ by up to 1.4, resized ones by 0.8; neighbouring frames
of a video from a waiting car by 3.1.
"""
FLAT = 0.05
"""The same as a share of the thumbnail's contrast: nearly blank pictures are not copies."""

_RANKS = {"train": 0, "val": 2, "test": 3}
"""Splits that must not share pictures; of two that do, the one of higher rank keeps the picture."""

_NEARLY = "nearly the same picture as (compressed again or resized?)"

_BLOCK = 1024
"""Thumbnails that are compared with all others at once; bounds the memory."""


def duplicate_findings(splits: Splits) -> Iterator[Finding]:
    """Report pictures that are in two splits, or twice in one."""
    for first, second in separate_splits(splits):
        yield from _across(first, splits[first], second, splits[second])
    for name, facts in splits.items():
        yield from _within(name, facts)


def separate_splits(splits: Splits) -> Iterator[tuple[str, str]]:
    """Yield pairs of splits that must not share pictures, the lower-ranked split first.

    These are any two of train, val and test, and all others unless one is a part of the other,
    such as train of trainval.
    """
    files = {name: {pair.image_path for pair in facts} for name, facts in splits.items()}
    ordered = sorted(splits, key=lambda name: _RANKS.get(name, 1))
    for first, second in combinations(ordered, 2):
        is_part = files[first] <= files[second] or files[second] <= files[first]
        if not is_part or {first, second} <= _RANKS.keys():
            yield first, second


def _across(
    first: str, ours: Sequence[PairFacts], second: str, theirs: Sequence[PairFacts]
) -> Iterator[Finding]:
    known = {pair.image.digest: pair for pair in ours if pair.image}
    others = {pair.image.digest: pair for pair in theirs if pair.image}
    same = [
        (known[pair.image.digest].image_path, pair.image_path)
        for pair in theirs
        if pair.image and pair.image.digest in known
    ]
    near = list(_near(known, others))
    cases: tuple[tuple[Kind, str, list[FilePair]], ...] = (
        ("duplicate across splits", "the same picture as", same),
        ("near-duplicate across splits", _NEARLY, near),
    )
    for kind, likeness, pairs in cases:
        if pairs:
            our_path, their_path = pairs[0]
            yield Finding(
                kind,
                f"{their_path} in split '{second}' is {likeness} {our_path} in split '{first}' "
                f"({counted(len(pairs), 'such pair')}): a network trained on one split would be "
                "measured on pictures that it has seen; remove it from one of them",
                tuple(dict.fromkeys(path for pair in pairs for path in pair)),
            )


def _near(ours: Mapping[bytes, PairFacts], theirs: Mapping[bytes, PairFacts]) -> Iterator[FilePair]:
    """Yield pictures that have close thumbnails but different digests."""
    if not ours or not theirs:
        return
    our_digests, their_digests = list(ours), list(theirs)
    left, right = _thumbnails(list(ours.values())), _thumbnails(list(theirs.values()))
    size = left.shape[1]
    limits = np.minimum(NEAR, FLAT * right.std(axis=1)) ** 2  # (theirs,)
    squares = (right**2).mean(axis=1)  # (theirs,)
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]  # (block, pixels)
        # The mean square of a difference, expanded; (block, theirs)
        distance = (block**2).mean(axis=1)[:, None] + squares - 2 / size * (block @ right.T)
        for row, column in np.argwhere(distance <= limits).tolist():
            first, second = our_digests[start + row], their_digests[column]
            if first != second:
                yield ours[first].image_path, theirs[second].image_path


def _thumbnails(facts: Sequence[PairFacts]) -> Float32[np.ndarray, "images pixels"]:
    """Stack thumbnails as grey levels around 0, so that float32 keeps differences of squares."""
    stack = np.stack([pair.image.thumbnail for pair in facts if pair.image])
    return stack.reshape(len(stack), -1).astype(np.float32) - 128


def _within(split: str, facts: Sequence[PairFacts]) -> Iterator[Finding]:
    groups: dict[bytes, list[PairFacts]] = defaultdict(list)
    for pair in facts:
        if pair.image:
            groups[pair.image.digest].append(pair)
    agreeing: list[list[PairFacts]] = []
    differing: list[list[PairFacts]] = []
    for group in groups.values():
        if len(group) > 1:
            masks = {pair.mask.digest for pair in group if pair.mask}
            (differing if len(masks) > 1 else agreeing).append(group)
    if differing:
        first, second, *_ = (pair.mask_path for pair in differing[0] if pair.mask)
        yield Finding(
            "two masks for one picture",
            f"{first} and {second} in split '{split}' differ, but their images are the same "
            f"({counted(len(differing), 'such picture')}); keep the right mask and remove the "
            "other pair",
            tuple(pair.image_path for group in differing for pair in group),
        )
    if agreeing:
        first, second, *_ = (pair.image_path for pair in agreeing[0])
        yield Finding(
            "duplicate in a split",
            f"{second} in split '{split}' is the same picture as {first} "
            f"({counted(len(agreeing), 'such picture')}): it counts twice; remove one pair",
            tuple(pair.image_path for group in agreeing for pair in group),
        )
