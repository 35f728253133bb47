"""NVIDIA's StyleGAN2 checkpoints that the paper's experiments need: where they are, fetched once, converted.

The URLs are those that NVIDIA's repositories print. Nothing here, no test and no part of the book has ever downloaded
them: the code is tested with a server on the same machine and with checkpoints of random weights.

No hash of these files is published. The SHA-256 of the first file that proves to be the right kind of checkpoint is
recorded in the user's cache (trust on first use), and every later file under that name must have it. The file is read
without running anything in it and written as safetensors; that file's own hash is checked whenever it is loaded.

Licences are those of the repository that lists the file. In `cache_dir()/generators`:

    NAME.safetensors, NAME.json    the converted weights and their record
    NAME.source.json               which licence was accepted, which hash was recorded; outlives the weights
    NAME.pkl, NAME.pkl.part        the original, kept only on request, and an unfinished download
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from stylemixseg._util.checks import check_choice
from stylemixseg._util.download import DeadURLError, DownloadError, discard_part, download, locked
from stylemixseg._util.paths import atomic_write, cache_dir, sha256_file
from stylemixseg.generators.checkpoints import Checkpoint, CheckpointError, read_checkpoint, save_checkpoint
from stylemixseg.generators.converted import WeightsError, verify_converted, write_converted
from stylemixseg.generators.stylegan2.network import StyleGAN2

CONVERTED_BYTES = 200_000_000  # more than the weights of the largest generator take
NOT_PUBLIC = "deeprooms, the paper's living rooms: no checkpoint is public; one of yours loads by its path"


@dataclass(frozen=True)
class Licence:
    """A licence: its name, where its text stands, and what it comes down to."""

    name: str
    url: str
    summary: str


@dataclass(frozen=True)
class Official:
    """One public checkpoint.

    Attributes:
        name: what `load_generator` and `stylemixseg fetch` call it.
        domain: what it draws.
        resolution: side of its images in pixels.
        format: what the reader must find in the file, as `Checkpoint.format`.
        url, page: the file, and the project page that lists it.
        licence: what one may do with it.
        photos: the training photos and their terms.
    """

    name: str
    domain: str
    resolution: int
    format: str
    url: str
    page: str
    licence: Licence
    photos: str

    @property
    def num_ws(self) -> int:
        """Number of modulated layers l: 14 at 256 px, 16 at 512, 18 at 1024."""
        return 2 * (self.resolution.bit_length() - 2)

    @property
    def terms(self) -> str:
        """The licence in three sentences, as it is shown and recorded."""
        return f"{self.licence.name}, {self.licence.url}. {self.licence.summary} Training photos: {self.photos}."


_SUMMARY = "Weights and what is made from them are for research or evaluation only, never for commercial use."
_STYLEGAN2 = Licence("Nvidia Source Code License-NC", "https://nvlabs.github.io/stylegan2/license.html", _SUMMARY)
_ADA_PAGE = "https://nvlabs.github.io/stylegan2-ada-pytorch/license.html"
_ADA = Licence("Nvidia Source Code License (StyleGAN2-ADA)", _ADA_PAGE, _SUMMARY)
_STYLEGAN3_PAGE = "https://github.com/NVlabs/stylegan3/blob/main/LICENSE.txt"
_STYLEGAN3 = Licence("Nvidia Source Code License (StyleGAN3)", _STYLEGAN3_PAGE, _SUMMARY)
_FFHQ = "FFHQ, for non-commercial use"
_AFHQ = "AFHQ, for non-commercial use (CC BY-NC 4.0)"
_LSUN = "LSUN, whose own terms were not checked here"
_CDN = "https://nvlabs-fi-cdn.nvidia.com"
_NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"


def _config_f(name: str, domain: str, resolution: int, file: str, photos: str) -> Official:
    url, page = f"{_CDN}/stylegan2/networks/{file}", "https://github.com/NVlabs/stylegan2"
    return Official(name, domain, resolution, "nvidia-tensorflow", url, page, _STYLEGAN2, photos)


def _ada(name: str, domain: str, resolution: int, file: str, photos: str) -> Official:
    url, page = f"{_CDN}/stylegan2-ada-pytorch/pretrained/{file}", "https://github.com/NVlabs/stylegan2-ada-pytorch"
    return Official(name, domain, resolution, "nvidia-pytorch", url, page, _ADA, photos)


def _ngc(name: str, domain: str, resolution: int, file: str, photos: str) -> Official:
    page = "https://github.com/NVlabs/stylegan3"
    return Official(name, domain, resolution, "nvidia-pytorch", f"{_NGC}/{file}", page, _STYLEGAN3, photos)


OFFICIAL = {
    item.name: item
    for item in (
        # The paper's own face generator (4.2 names stylegan2-ffhq-config-f), and smaller ones for smaller machines.
        _config_f("ffhq-1024", "human faces (FFHQ)", 1024, "stylegan2-ffhq-config-f.pkl", _FFHQ),
        _ngc("ffhq-512", "human faces (FFHQ)", 512, "stylegan2-ffhq-512x512.pkl", _FFHQ),
        _ngc("ffhq-256", "human faces (FFHQ)", 256, "stylegan2-ffhq-256x256.pkl", _FFHQ),
        _ada("afhq-cat-512", "faces of cats (AFHQ)", 512, "afhqcat.pkl", _AFHQ),
        _ada("afhq-dog-512", "faces of dogs (AFHQ)", 512, "afhqdog.pkl", _AFHQ),
        _ada("afhq-wild-512", "faces of wild animals (AFHQ)", 512, "afhqwild.pkl", _AFHQ),
        # The paper says 512 px; the only horses that NVIDIA has published are these.
        _config_f("lsun-horse-256", "horses (LSUN)", 256, "stylegan2-horse-config-f.pkl", _LSUN),
    )
}


def converted_path(name: str) -> Path:
    """Where the converted weights of a checkpoint stand in the user's cache."""
    return cache_dir() / "generators" / f"{name}.safetensors"


def fetch_official(
    name: str, *, file: str | Path | None = None, accept_licence: bool = False, keep: bool = False
) -> Path:
    """Make sure that a converted official checkpoint is in the cache, and return its path.

    Args:
        name: a name of `OFFICIAL`.
        file: the checkpoint, downloaded by other means; it is read and left where it is.
        accept_licence: the user has read and accepts the licence; else a person at the terminal is asked, once.
        keep: keep the downloaded original beside the converted file.

    Raises:
        WeightsError: licence not accepted, no download, not the checkpoint that it should be, another hash than the
            recorded one, a changed cache file, no space to convert.
        DownloadError: another process is fetching the same checkpoint.
    """
    item = OFFICIAL[check_choice("checkpoint", name, OFFICIAL)]
    path = converted_path(name)
    with locked(path.with_suffix(".lock")):
        if path.exists():
            verify_converted(path, name)
            return path
        if file is not None and not Path(file).is_file():
            raise WeightsError(f"no file {file}")
        _ask(item, accept_licence)
        original = path.with_suffix(".pkl") if file is None else Path(file)
        if not original.exists():
            _download(item, original)
        notes = _convert(item, original, path, downloaded=file is None)
        if file is None and not keep:
            original.unlink()
        discard_part(path.with_suffix(".pkl"))
    for line in (f"{name} is ready: {path}", *notes, f"Licence: {item.terms}"):
        print(line, file=sys.stderr)
    return path


def load_official(name: str) -> StyleGAN2:
    """An official checkpoint from the cache, in evaluation mode.

    Raises:
        WeightsError: it has not been fetched, which only the user can do as it has a licence; or it has changed.
    """
    path = converted_path(name)
    if not path.exists():
        raise WeightsError(f"{name} is not in your cache: run `stylemixseg fetch {name}`, which shows its licence")
    verify_converted(path, name)
    return StyleGAN2.from_file(path, name=name)


def recorded_sha256(name: str) -> str | None:
    """SHA-256 of the original as it was recorded on this machine; None before the first download."""
    return _read_source(name).get("sha256")


def _source_path(name: str) -> Path:
    return cache_dir() / "generators" / f"{name}.source.json"


def _read_source(name: str) -> dict[str, str]:
    """What is recorded about a checkpoint's licence and original; empty before the first fetch."""
    path = _source_path(name)
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text())
        if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
            raise ValueError("not a record of words")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is unreadable ({error}): delete it if you do not need the hash in it") from error
    return record


def _add_to_source(name: str, **fields: str) -> None:
    record = _read_source(name) | fields
    with atomic_write(_source_path(name)) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


def _ask(item: Official, accept_licence: bool) -> None:
    """Show the licence and have it accepted; once is enough as long as the terms stay the same."""
    if _read_source(item.name).get("accepted_terms") == item.terms:
        return
    if not accept_licence:
        if not sys.stdin.isatty():
            raise WeightsError(
                f"the licence of {item.name} must be accepted first: {item.terms} Nobody can be asked here: run "
                f"`stylemixseg fetch {item.name} --accept-licence` if you accept it"
            )
        print(f"{item.name}: {item.domain}, {item.resolution} px, {item.url}\n{item.terms}", file=sys.stderr)
        print('Type "yes" to accept this licence: ', end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() != "yes":
            raise WeightsError(f"the licence of {item.name} was not accepted; nothing was fetched")
    _add_to_source(item.name, accepted_terms=item.terms, accepted=_today())


def _download(item: Official, original: Path) -> None:
    print(f"Downloading {item.name} from {item.url}", file=sys.stderr)
    try:
        download(item.url, original, spare=CONVERTED_BYTES)
    except DownloadError as error:
        failed = "is not to be had there" if isinstance(error, DeadURLError) else "could not be downloaded"
        raise WeightsError(
            f"{item.name} {failed}: {error}. You may see whether {item.page} names another place, or get the file by "
            f"other means and run `stylemixseg fetch {item.name} --file FILE`; a StyleGAN2 checkpoint that you have "
            f"loads without that: load_generator(PATH)"
        ) from error


def _convert(item: Official, original: Path, path: Path, downloaded: bool) -> tuple[str, ...]:
    """Check the original, record its hash where none is recorded, write the converted file; the reader's notes."""
    digest = sha256_file(original)
    source = _read_source(item.name)
    if source.get("sha256", digest) != digest:
        _refuse(item, original, digest, source, downloaded)
    try:
        checkpoint = read_checkpoint(original)
        _check_kind(item, checkpoint)
    except CheckpointError as error:
        kept = f"; delete {original} to download it anew" if downloaded else ""
        raise WeightsError(f"{original} is not {item.name}: {error}{kept}") from error
    try:
        origin = item.url if downloaded else f"file {original.name}"
        if "sha256" not in source:
            _add_to_source(item.name, sha256=digest, origin=origin, recorded=_today())
        record = {"source": origin, "source_sha256": digest, "licence": item.terms, "date": _today()}
        write_converted(path, partial(save_checkpoint, replace(checkpoint, licence=item.terms)), record)
    except OSError as error:
        size = f"{CONVERTED_BYTES / 1e6:.0f} MB"
        raise WeightsError(
            f"could not write {path} ({error}): about {size} must be free there, or in another "
            "folder that STYLEMIXSEG_CACHE names"
        ) from error
    return checkpoint.notes


def _refuse(item: Official, original: Path, digest: str, source: dict[str, str], downloaded: bool) -> None:
    """Another file than the recorded one: say both hashes, and keep nothing of it that was downloaded."""
    if downloaded:
        original.unlink()
    raise WeightsError(
        f"{item.name}: {'the download' if downloaded else original} has SHA-256 {digest}, but {source['sha256']} was "
        f"recorded on {source.get('recorded')} (from {source.get('origin')}). Either the file has changed at its "
        f"source, or one of the two is damaged or forged; it is not used{', and was deleted' if downloaded else ''}. "
        f"If somebody you trust confirms the new one, delete {_source_path(item.name)} and fetch again"
    )


def _check_kind(item: Official, checkpoint: Checkpoint) -> None:
    got = f"{checkpoint.format}, {checkpoint.architecture.resolution} px"
    wanted = f"{item.format}, {item.resolution} px"
    if got != wanted:
        raise CheckpointError(f"it is {got}, expected {wanted} (any StyleGAN2 checkpoint loads by its path)")
