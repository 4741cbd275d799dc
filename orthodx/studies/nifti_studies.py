"""Which NIfTI files are one study, where no manifest says it. In doubt an image is a study of its own.

A folder of images is not one patient: images are put together where their names or their folder say it, and only where
they lie at one place of the world.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from orthodx.joints import View
from orthodx.requests import GroupBy
from orthodx.studies.keys import study_key
from orthodx.studies.mask_files import stem_of
from orthodx.studies.nifti import read_volume
from orthodx.studies.placing import meet, world_box
from orthodx.studies.series import Series
from orthodx.studies.view import OBLIQUE_DEGREES, view_of
from orthodx.studies.volume import Volume

NNUNET_IMAGES = {"imagestr", "imagests", "imagesval"}
_VIEWS = "sagittal|sagital|sag|coronal|cor|axial|ax|transversal|transverse|trans|tra"
_CONTRASTS = (
    "pdw|pd|t1w|t1|t2star|t2w|t2|fatsat|fat|sat|nofs|fs|stir|tirm|spair|spir|tse|fse|gre|dess|ciss|fiesta|space|cube|"
    r"vista|mdixon|dixon|water|[23]d|mri|mr|e\d"
)
_KNOWN = re.compile(rf"(?:{_VIEWS}|{_CONTRASTS})+", re.IGNORECASE)  # words that tell images of one study apart
_ONLY_VIEWS = re.compile(rf"(?:{_VIEWS})", re.IGNORECASE)
_CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net
_BIDS = re.compile(r"(sub-[0-9A-Za-z]+)((?:_ses-[0-9A-Za-z]+)?)(?:_[0-9A-Za-z]+-[0-9A-Za-z]+)*_[0-9A-Za-z]+")
_AGAIN = re.compile(r"(.+)[ _.-][23]")  # a second one of the same kind
_SERIES = r"_s\d{3}-[0-9a-f]{4,}.*"  # what `convert` adds to the name of the study's folder


class Key(NamedTuple):
    """What makes a study. place: where its name means it; a second study of that name gets the place's in front."""

    place: Path
    name: str


@dataclass(frozen=True)
class Image:
    """A NIfTI file by its header. given: by itself, not with its folder. flat: it lies in the very folder given."""

    path: Path
    given: bool = False
    flat: bool = False

    @cached_property
    def name(self) -> str:
        """What the file is called."""
        return study_key(stem_of(self.path))

    @cached_property
    def folder(self) -> Path:
        """Where it lies, in full."""
        return self.path.absolute().parent

    @cached_property
    def header(self) -> tuple[View, bool, np.ndarray | None]:
        """View, whether that is uncertain, and its box in the world (2, 3) mm; no box where it cannot be read."""
        try:
            image: Any = nib.load(self.path)
            affine, shape = np.asarray(image.affine, float), image.shape[:3]
            view, angle = view_of(affine, shape)
            return view, bool(angle > OBLIQUE_DEGREES), world_box(affine, shape)
        except Exception:  # whatever is wrong is said in full, and once, when the volume is read
            return View.SAGITTAL, False, None

    @property
    def alone(self) -> Key:
        """The key of a study that is this image."""
        return Key(self.folder, self.name)

    @property
    def of_folder(self) -> Key:
        """The key of a study that is a folder."""
        return Key(self.folder.parent, study_key(self.folder.name) or "study")

    def series(self, patient_id: str, study_id: str, name: str) -> Series:
        """As a series; its voxels are read when it is loaded."""
        view, oblique, _ = self.header
        return Series(patient_id, study_id, name, self.path, view, oblique, load=_loader(self.path))


def nifti_studies(
    images: Sequence[Image], by: GroupBy | None = None, taken: Collection[str] = ()
) -> tuple[list[Series], str]:
    """The series of some files, with the studies they belong to; and one line on what was put together, if anything.

    by: a rule for all. Without one, BIDS names make a study a subject and session, nnU-Net names a study a case, as do
    names that differ in words of views and contrasts only; a folder below the one given is a study if it holds one
    image or one a view, and so is any folder whose name begins those of one image a view, or of what `convert` wrote.
    taken: ids that are another study's already.
    """
    keys = dict(_by_rule(images, by)) if by else dict(_by_names(images))
    ids, names = _ids(keys.values(), taken), dict(_series_names(images))
    subjects = {image: Key(keys[image].place, told[1]) for image in images if (told := _told_subject(image, keys))}
    people = _ids(subjects.values(), ())
    series = []
    for image in images:
        study = ids[keys[image]]
        patient = people[subjects[image]] if image in subjects else study
        series.append(image.series(patient, study, names[image]))
    return series, _said(images, keys, ids)


def _told_subject(image: Image, keys: dict[Image, Key]) -> re.Match[str] | None:
    """Subject and session, where the study of the image is named by them."""
    told = _BIDS.fullmatch(image.name)
    return told if told and keys[image].name == f"{told[1]}{told[2]}" else None


def _by_rule(images: Iterable[Image], by: GroupBy) -> Iterator[tuple[Image, Key]]:
    for image in images:
        if by is GroupBy.NONE:
            yield image, image.alone
        elif by is GroupBy.FOLDER:
            yield image, image.of_folder
        else:
            yield image, _bids(image) or _nnunet(image) or _of_name(image)


def _of_name(image: Image) -> Key:
    """What names share; folders called after views hold one study each view of it: sagittal/7, coronal/7."""
    rest = _rest(image.name)[0]
    if not rest:
        return image.of_folder
    return Key(image.folder.parent if _ONLY_VIEWS.fullmatch(image.folder.name) else image.folder, rest)


def _by_names(images: Sequence[Image]) -> Iterator[tuple[Image, Key]]:
    """Folder by folder, as `nifti_studies` says."""
    folders: dict[tuple[Path, bool], list[Image]] = defaultdict(list)
    for image in images:
        if key := _bids(image):
            yield image, key
        elif image.folder.name.casefold() in NNUNET_IMAGES:
            yield image, _nnunet(image) or image.alone
        else:
            folders[image.folder, image.given].append(image)
    for (_, given), members in folders.items():
        if len(members) == 1 and not given:
            yield members[0], members[0].of_folder
        else:
            yield from _at_one_place(members, _in_folder(members))


def _in_folder(members: Sequence[Image]) -> dict[Image, Key]:
    """Images that lie in one folder, each with its key."""
    of_folder, channels = members[0].of_folder, [_CHANNEL.fullmatch(image.name) for image in members]
    if len(members) > 1 and not any(channels) and _one_a_view(members):
        return dict.fromkeys(members, of_folder)
    stems = {image.name for image in members}
    ours = re.compile(rf"{re.escape(of_folder.name)}{_SERIES}")
    keys: dict[Image, Key] = {}
    for image, case in zip(members, channels, strict=True):
        again = _AGAIN.fullmatch(image.name)
        rest, told = _rest(again[1] if again and again[1] in stems else image.name)
        if case:
            only = case[2] == "0000" and sum(name.startswith(f"{case[1]}_") for name in stems) == 1
            keys[image] = Key(image.folder, case[1] if only else image.name)
        elif ours.fullmatch(image.name) or (told and not rest):
            keys[image] = of_folder
        else:
            keys[image] = Key(image.folder, rest) if told else image.alone
    if len(members) > 1 and len(set(keys.values())) == 1:
        return dict.fromkeys(members, of_folder)
    return keys


def _one_a_view(members: Sequence[Image]) -> bool:
    """Whether a folder looks like one study: no view twice, and it lies below others or its name is in each image's."""
    start = re.compile(rf"{re.escape(members[0].of_folder.name)}(?![0-9A-Za-z])", re.IGNORECASE)
    of_one = not members[0].flat or all(start.match(image.name) for image in members)
    return of_one and len(members) <= len(View) and len({image.header[0] for image in members}) == len(members)


def _at_one_place(members: Sequence[Image], keys: dict[Image, Key]) -> Iterator[tuple[Image, Key]]:
    """Those whose boxes in the world are apart from the others' of their study are studies of their own."""
    placed: dict[Key, list[np.ndarray]] = defaultdict(list)
    for image in members:
        key, box = keys[image], image.header[2]
        others = placed[key]
        if box is not None and others and not any(meet(box, other) for other in others):
            key = image.alone
        elif box is not None:
            others.append(box)
        yield image, key


def _rest(name: str) -> tuple[str, bool]:
    """A name without words of views and contrasts, and whether it had any."""
    parts = re.split(r"([^0-9A-Za-z]+)", name)
    words = [word for word in parts[::2] if word]
    kept = [i for i in range(0, len(parts), 2) if parts[i] and not _KNOWN.fullmatch(parts[i])]
    if not kept:
        return "", bool(words)
    left = "".join(part for i, part in enumerate(parts[: kept[-1] + 1]) if i in kept or (i % 2 and i - 1 in kept))
    return left, len(kept) < len(words)


def _bids(image: Image) -> Key | None:
    """Subject and session; their place is the folder of all subjects."""
    told = _BIDS.fullmatch(image.name)
    if told is None:
        return None
    above = [folder for folder in image.folder.parents if (folder / told[1]) in (image.folder, *image.folder.parents)]
    return Key(above[0] if above else image.folder, f"{told[1]}{told[2]}")


def _nnunet(image: Image) -> Key | None:
    case = _CHANNEL.fullmatch(image.name)
    if case is None:
        return None
    first = Image(image.path.with_name(image.path.name.replace(image.name, f"{case[1]}_0000", 1)))
    if case[2] != "0000" and not _same_box(first, image):
        return image.alone
    return Key(image.folder, case[1])


def _same_box(one: Image, other: Image) -> bool:
    """Whether two images fill the same part of the world, as channels of one case do."""
    a, b = one.header[2], other.header[2]
    return a is not None and b is not None and float(np.abs(a - b).max()) < 1.0


def _series_names(images: Sequence[Image]) -> Iterator[tuple[Image, str]]:
    """Of an nnU-Net case its first channel has the name of the case, by which its truth is found."""
    for image in images:
        case = _CHANNEL.fullmatch(image.name) if image.folder.name.casefold() in NNUNET_IMAGES else None
        yield image, case[1] if case and case[2] == "0000" else image.name


def _ids(all_keys: Iterable[Key], taken: Collection[str]) -> dict[Key, str]:
    """An id for each key: its name, with as many folders in front as tell it from the others."""
    keys = list(dict.fromkeys(all_keys))
    ids = {key: key.name for key in keys}
    above: dict[Key, list[str]] = {key: [study_key(part) for part in key.place.parts[1:]] for key in keys}
    others = Counter(map(str.casefold, taken))
    while True:
        counts = Counter(name.casefold() for name in ids.values()) + others
        alike = [key for key in keys if counts[ids[key].casefold()] > 1 and above[key]]
        if not alike:
            break
        for key in alike:
            ids[key] = f"{above[key].pop()}_{ids[key]}"
    seen = Counter[str]()
    for key in keys:
        seen[ids[key].casefold()] += 1
        if (n := seen[ids[key].casefold()] + others[ids[key].casefold()]) > 1:
            ids[key] = f"{ids[key]}-{n}"
    return ids


def _said(images: Sequence[Image], keys: dict[Image, Key], ids: dict[Key, str]) -> str:
    """One line where there was something to decide: what was put together, and how that is changed."""
    folders = Counter(image.folder for image in images)
    sizes = Counter(keys[image] for image in images)
    together = [f"'{ids[key]}' ({n})" for key, n in sizes.items() if n > 1]
    if not together and max(folders.values(), default=0) < 2:
        return ""
    many = f"{len(images)} NIfTI images are {len(sizes)} stud{'ies' if len(sizes) > 1 else 'y'}"
    more = f" and {len(together) - 3} more" if len(together) > 3 else ""
    how = f"put together: {', '.join(together[:3])}{more}" if together else "each on its own"
    return f"{many}, {how}; --group-by folder, name or none changes that"


def _loader(path: Path) -> Callable[[], Volume]:
    def load() -> Volume:
        volume = read_volume(path)
        volume.require_image()
        return volume

    return load


def listed_image(path: Path) -> Series:
    """A NIfTI file that a manifest names; its ids are those of its row."""
    return replace(Image(path).series("", "", study_key(stem_of(path))), row={})
