from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sftbench.api import UnavailableError
from sftbench.builtin.datasets.decoding import (
    decode,
    decode_all,
    decode_contents,
    each_readable,
    read_image,
    square_rgb,
)

SUFFIXES = ("png", "jpg", "bmp", "tif", "webp", "ppm", "gif")
KNOWN = "no image of a known format (BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP)"


def pixels(size: tuple[int, int] = (20, 20), seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


def content(suffix: str, size: tuple[int, int] = (20, 20)) -> bytes:
    stream = io.BytesIO()
    name = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    pixels(size).save(stream, name)
    return stream.getvalue()


def refusal(file: Path) -> str:
    with pytest.raises(UnavailableError) as caught:
        decode(file, 16)
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value).removeprefix(f"{file}: ")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_known_format_is_read(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(content(suffix, (16, 16)))
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(file, 16), expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    whole = content(suffix, (64, 64))
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(whole[: int(share * len(whole))])
    assert refusal(file) in {"not a whole image", KNOWN}
    if share == 0.5:
        assert refusal(file) == "not a whole image"


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert refusal(tmp_path / "empty.jpg") == "an empty file"
    (tmp_path / "text.png").write_text("not an image at all, but long enough to be one")
    assert refusal(tmp_path / "text.png") == KNOWN
    (tmp_path / "folder.png").mkdir()
    not_a_file = "a folder, a pipe or a device, not a file"
    assert refusal(tmp_path / "folder.png") == not_a_file
    os.mkfifo(tmp_path / "pipe.png")
    assert refusal(tmp_path / "pipe.png") == not_a_file
    assert refusal(tmp_path / "missing.png") == "no such file or directory"
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert refusal(tmp_path / "loop.png").startswith("too many levels of symbolic links")


def test_a_postscript_file_is_never_run(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    assert refusal(file) == KNOWN


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content("png"))
    file.chmod(0)
    assert refusal(file) == "permission denied"


def test_a_larger_file_than_is_sensible_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.webp"
    with file.open("wb") as stream:
        stream.truncate((256 << 20) + 1)
    assert refusal(file) == "larger than 256 MiB"


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    file.write_bytes(png_header(60_000, 60_000))
    assert refusal(file) == "more than 178,956,970 pixels"


def test_a_thin_image_does_not_swell_when_it_is_resized(tmp_path: Path) -> None:
    file = tmp_path / "thin.png"
    Image.new("L", (1, 5000)).save(file)
    assert refusal(file) == "1 x 5000 pixels: one side is over 100 times the other"


def test_more_than_8_bits_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    Image.fromarray(np.full((16, 16), 300, dtype=np.uint16)).save(file)
    assert refusal(file) == "I;16 has more than 8 bits a channel; convert it to 8"
    file = tmp_path / "x.tif"
    Image.fromarray(np.full((16, 16), 0.5, dtype=np.float32)).save(file)
    assert refusal(file) == "F has more than 8 bits a channel; convert it to 8"


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", "png"), ("1", "png"), ("LA", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg")],
)
def test_other_modes_become_rgb(tmp_path: Path, mode: str, suffix: str) -> None:
    file = tmp_path / f"x.{suffix}"
    pixels((16, 16)).convert(mode).save(file)
    found = decode(file, 16)
    assert (found.shape, found.dtype) == ((16, 16, 3), np.dtype(np.uint8))
    np.testing.assert_array_equal(found, np.asarray(Image.open(file).convert("RGB")))


def test_a_palette_with_transparency_keeps_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "x.png", transparency=b"\x00\x80")
    assert decode(tmp_path / "x.png", 16)[0, 0].tolist() == [10, 20, 30]


def test_all_are_tried_and_the_order_is_kept(tmp_path: Path) -> None:
    files = []
    for index in range(9):
        files.append(tmp_path / f"{index}.png")
        Image.new("RGB", (16, 16), (index, 0, 0)).save(files[-1])
    files[2].write_bytes(b"")
    files[7].unlink()
    images, kept, unreadable = decode_all(files, 16)
    assert kept.tolist() == [0, 1, 3, 4, 5, 6, 8]
    assert kept.dtype == np.int64
    assert images[:, 5, 5, 0].tolist() == [0, 1, 3, 4, 5, 6, 8]
    assert images.shape == (7, 16, 16, 3)
    assert unreadable == (
        f"{files[2]}: an empty file",
        f"{files[7]}: no such file or directory",
    )


def test_nothing_readable_gives_no_image(tmp_path: Path) -> None:
    images, kept, unreadable = decode_all([tmp_path / "a.png"], 8)
    assert (images.shape, kept.shape, len(unreadable)) == ((0, 8, 8, 3), (0,), 1)


def test_contents_in_memory_are_read_under_their_names() -> None:
    both = [("row 0", content("png", (16, 16))), ("row 1", b"")]
    images, kept, unreadable = decode_contents(2, lambda index: both[index], 16)
    np.testing.assert_array_equal(images[0], np.asarray(pixels((16, 16))))
    assert (kept.tolist(), unreadable) == ([0], ("row 1: an empty file",))


def test_a_name_that_could_steer_a_terminal_is_escaped(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        decode(tmp_path / "a\x1b[31m\n.png", 8)
    assert str(caught.value) == f"{tmp_path}/a\\x1b[31m .png: no such file or directory"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SUFFIXES),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(0, 4000),
)
def test_damaged_bytes_are_an_image_or_a_line(
    suffix: str, changes: list[tuple[int, int]], end: int
) -> None:
    data = bytearray(content(suffix, (24, 24)))
    for place, value in changes:
        data[place % len(data)] = value
    del data[-(end % len(data)) or len(data) :]
    images, kept, unreadable = decode_contents(1, lambda _: ("x", bytes(data)), 8)
    assert len(images) == len(kept) == 1 - len(unreadable)
    assert all(line.startswith("x: ") for line in unreadable)


def test_the_files_of_a_run_stay_closed(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content("png"))
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        decode_all([file, tmp_path, file], 16)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_an_image_can_be_taken_for_more_than_its_square(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content("png", (30, 20)))
    square, size = read_image(file, lambda image: (square_rgb(image, 16), image.size))
    assert size == (30, 20)
    np.testing.assert_array_equal(square, decode(file, 16))


def test_what_a_reader_refuses_is_told_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content("png"))

    def refuse(image: Image.Image) -> None:
        raise ValueError(f"{image.size[0]} pixels are too few")

    with pytest.raises(UnavailableError) as caught:
        read_image(file, refuse)
    assert str(caught.value) == f"{file}: 20 pixels are too few"
    file.write_bytes(content("png")[:50])
    with pytest.raises(UnavailableError, match="not a whole image"):
        read_image(file, refuse)


def test_those_that_can_be_read_are_kept_in_their_order() -> None:
    def read(index: int) -> None:
        if index % 3 == 1:
            raise UnavailableError(f"{index} is bad")

    kept, lines = each_readable(6, read)
    assert kept.tolist() == [0, 2, 3, 5]
    assert lines == ("1 is bad", "4 is bad")
