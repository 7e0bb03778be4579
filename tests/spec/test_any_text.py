"""Whatever a spec's file holds, it is a sweep or a SpecError that names the file."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s_ray.spec import SpecError, Sweep, yaml

QUICKSTART = (Path(__file__).parents[2] / "sweeps" / "quickstart.yaml").read_bytes()
PIECES = [b"", b"\n", b": ", b"- ", b"{", b"[", b"&a ", b"*a", b"!!python/object:os.system ", b"null", b"1e999"]
PIECES += [
    b"%YAML 9.9\n---\n",
    b"<<: ",
    b"? ",
    b"'",
    b'"',
    b"-0x1",
    b"\xff",
    b"\xe2\x86\x92",
    b".inf",
    b".nan",
    b"\x00",
]
PIECES += [
    b"name",
    b"uniform: [0, 1]",
    b"9" * 5000,
    b"[" * 200,
    b"2001-01-01",
    b"!!binary YQ==",
    b"!!set {a}",
    b"---\n",
]
JUMBLE = st.lists(st.sampled_from(PIECES), max_size=8).map(b" ".join)


@st.composite
def altered(draw: st.DrawFn) -> bytes:
    """The quickstart with a few places cut out or overwritten."""
    data = bytearray(QUICKSTART)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 5, 30]))
        data[at : at + length] = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)))
    return bytes(data)


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        sweep = yaml.load(path)
    except SpecError as error:
        said = str(error)
    else:
        assert isinstance(sweep, Sweep)
        assert yaml.parse(yaml.dump(sweep)) == sweep
        return
    assert said.startswith(str(path)), said


def test_a_version_declared_in_the_middle_of_a_file_is_a_clear_error(tmp_path: Path) -> None:
    # Here the parser fails with a bare KeyError, not with its own error.
    check(tmp_path / "version.yaml", b"<<: encoder\n%YAML 9.9\n---\n" + QUICKSTART)


@settings(max_examples=150, deadline=None)
@given(content=altered())
def test_an_altered_spec_is_a_sweep_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check(tmp_path_factory.getbasetemp() / "altered.yaml", content)


@settings(max_examples=100, deadline=None)
@given(content=st.one_of(st.text(max_size=60).map(str.encode), JUMBLE))
def test_any_text_is_a_sweep_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    check(tmp_path_factory.getbasetemp() / "any.yaml", content)
