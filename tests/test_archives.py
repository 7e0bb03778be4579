import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.archives import ArchiveError, safe, unpack


def a_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def a_tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


def test_only_the_members_asked_for_are_written_under_our_names(tmp_path):
    archive = a_zip(tmp_path / "a.zip", {"model/weights": b"w", "model/code.py": b"evil()"})
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, {"model/weights": "weights"}, folder)
    assert [path.name for path in folder.iterdir()] == ["weights"]


def test_a_member_of_an_archive_inside_an_archive_is_reached(tmp_path):
    archive = tmp_path / "outer.tar.gz"
    archive.write_bytes(a_tar({"p/inner.tar.gz": a_tar({"d/rows.txt": b"1\t2\t3"}), "p/LICENSE": b"free"}))
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, {"p/inner.tar.gz!d/rows.txt": "rows.txt", "p/LICENSE": "LICENSE"}, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"rows.txt": b"1\t2\t3", "LICENSE": b"free"}


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "C:\\x", "a\\..\\b", ""])
def test_a_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(ArchiveError, match="unsafe"):
        safe(name)


def test_an_archive_with_one_escaping_member_is_refused_even_if_others_are_asked_for(tmp_path):
    for number, content in enumerate((a_tar({"../up": b"x", "good": b"y"}), b"")):
        archive = tmp_path / f"{number}.tar.gz"
        archive.write_bytes(content)
        if not content:
            archive = a_zip(tmp_path / "a.zip", {"../up": b"x", "good": b"y"})
        with pytest.raises(ArchiveError, match="unsafe member name"):
            unpack(archive, {"good": "good"}, tmp_path)
    assert not (tmp_path.parent / "up").exists()


def test_a_target_outside_the_folder_is_refused(tmp_path):
    with pytest.raises(ArchiveError, match="unsafe"):
        unpack(a_zip(tmp_path / "a.zip", {"good": b"y"}), {"good": "../good"}, tmp_path)


def test_a_link_in_place_of_a_file_is_refused(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(a_tar({}, {"weights": "/etc/passwd"}))
    with pytest.raises(ArchiveError, match="not a plain file"):
        unpack(archive, {"weights": "weights"}, tmp_path)
    linked = tmp_path / "b.zip"
    with zipfile.ZipFile(linked, "w") as file:
        entry = zipfile.ZipInfo("weights")
        entry.external_attr = 0o120777 << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(ArchiveError, match="not a plain file"):
        unpack(linked, {"weights": "weights"}, tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path):
    bomb = a_zip(tmp_path / "a.zip", {"zeros": bytes(1 << 20)})
    assert bomb.stat().st_size < 1 << 12
    with pytest.raises(ArchiveError, match="more than 65536 bytes"):
        unpack(bomb, {"zeros": "zeros"}, tmp_path, largest=1 << 16)
    nested = tmp_path / "a.tar.gz"
    nested.write_bytes(a_tar({"inner.tar.gz": a_tar({"zeros": bytes(1 << 20)})}))
    with pytest.raises(ArchiveError, match="more than 65536 bytes"):
        unpack(nested, {"inner.tar.gz!zeros": "zeros"}, tmp_path, largest=1 << 16)
    assert not (tmp_path / "zeros").exists()


def test_a_missing_member_and_a_broken_archive_are_named(tmp_path):
    archive = a_zip(tmp_path / "a.zip", {"one": b"1"})
    with pytest.raises(ArchiveError, match=r"a\.zip holds no two"):
        unpack(archive, {"two": "two"}, tmp_path)
    broken = tmp_path / "b.tar.gz"
    broken.write_bytes(a_tar({"one": bytes(range(256)) * 100})[:-40])
    with pytest.raises(ArchiveError, match=r"b\.tar\.gz cannot be unpacked"):
        unpack(broken, {"one": "one"}, tmp_path)


def test_a_header_that_unpacks_to_more_than_a_block_is_refused_before_it_is_read(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        member = tarfile.TarInfo("header")
        member.type, member.size = kind, 1 << 23
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        bomb = tmp_path / "a.tar.gz"
        bomb.write_bytes(stream.getvalue())
        assert bomb.stat().st_size < 1 << 14
        with pytest.raises(ArchiveError, match="a header of 8388608 bytes"):
            unpack(bomb, {"good": "good"}, tmp_path)


def test_a_hard_link_and_a_device_in_place_of_a_file_are_refused(tmp_path):
    for kind in (tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("weights")
        member.type, member.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            archive.addfile(member)
        with pytest.raises(ArchiveError, match="not a plain file"):
            unpack(tmp_path / "a.tar", {"weights": "weights"}, tmp_path)
    assert not (tmp_path / "weights").exists()


def altered_zip(path: Path, **fields: int) -> Path:
    """A zip of one deflated member, "good", with 16-bit fields changed in both of its headers."""
    content = bytearray(a_zip(path, {"good": bytes(range(256)) * 8}).read_bytes())
    central = content.index(b"PK\x01\x02")
    for name, value in fields.items():
        for at in (content.index(b"PK\x03\x04") + 4, central + 6):
            struct.pack_into("<H", content, at + {"flags": 2, "method": 4}[name], value)
    path.write_bytes(content)
    return path


def test_zips_that_are_encrypted_of_an_unknown_method_or_broken_inside_are_refused(tmp_path):
    encrypted = altered_zip(tmp_path / "encrypted.zip", flags=1)
    unknown = altered_zip(tmp_path / "unknown.zip", method=99)
    broken = a_zip(tmp_path / "broken.zip", {"good": bytes(range(256)) * 8})
    content = bytearray(broken.read_bytes())
    content[34:60] = b"\xff" * 26  # after the local header and the name
    broken.write_bytes(content)
    lzma = altered_zip(tmp_path / "lzma.zip", method=14)
    for archive in (encrypted, unknown, broken, lzma):
        with pytest.raises(ArchiveError, match=f"{archive.name} cannot be unpacked"):
            unpack(archive, {"good": "good"}, tmp_path)


def test_headers_that_follow_each_other_without_end_are_refused(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        member = tarfile.TarInfo("header")
        member.type, member.size = kind, 6
        block = member.tobuf(tarfile.USTAR_FORMAT) + b"6 a=b\n".ljust(512, b"\0")
        (tmp_path / "a.tar").write_bytes(block * 2000)
        with pytest.raises(ArchiveError, match=r"a\.tar cannot be unpacked"):
            unpack(tmp_path / "a.tar", {"good": "good"}, tmp_path)


WHOLE = {"good": b"y" * 3000, "other": bytes(range(256))}


@settings(max_examples=300, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["a.zip", "a.tar.gz", "a.tar"]))
def test_altered_archives_give_files_or_an_archive_error(tmp_path_factory, data, kind):
    folder = tmp_path_factory.getbasetemp() / "altered"
    folder.mkdir(exist_ok=True)
    path = folder / kind
    if kind == "a.zip":
        a_zip(path, WHOLE)
    else:
        stream = io.BytesIO(a_tar(WHOLE))
        path.write_bytes(stream.getvalue() if kind == "a.tar.gz" else gzip.decompress(stream.getvalue()))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at, length = data.draw(st.integers(0, len(content))), data.draw(st.sampled_from([0, 1, 2, 4]))
        content[at : at + length] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)
    try:
        unpack(path, {"good": "good"}, folder)
    except ArchiveError:
        return
    assert (folder / "good").is_file()
