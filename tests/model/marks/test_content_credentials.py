"""C2PA manifests: real ones, by the library."""

import io
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from PIL import Image

from model.errors import InputError
from model.marks.content_credentials import open_signer, read_credentials, without_manifest
from model.marks.marking import Mark, marked_png, read_mark
from tests.certificates import certificate, write_key_and_certificates

MARK = Mark(concept="owl", content="c" * 64, version=2, prompt="a {}", text="an owl", seed=7, index=1)


def plain() -> bytes:
    return marked_png(Image.linear_gradient("L").convert("RGB"), MARK)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A key, and its certificates."""
    return write_key_and_certificates(tmp_path)


class TestWithTheLibrary:
    """Needs c2pa-python, which is an extra of the project."""

    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("c2pa", reason="c2pa-python, an extra of the project, is not installed")

    def test_a_signed_picture_says_who_signed_it_and_keeps_pixels_and_mark(self, files, tmp_path):
        signer = open_signer(*files)
        assert signer
        signed = signer.signed(plain(), MARK)
        found = read_credentials(signed)
        assert found
        assert (found.state, found.signed_by) == ("Valid", "a booth, a booth")
        assert found.problems == ("signing certificate untrusted",)  # the authority is a test's
        (tmp_path / "signed.png").write_bytes(signed)
        assert read_mark(tmp_path / "signed.png") == MARK
        assert without_manifest(signed) == plain()

    def test_a_changed_pixel_or_mark_shows(self, files):
        signer = open_signer(*files)
        assert signer
        signed = signer.signed(plain(), MARK)
        for part in (b"IDAT", b"an owl"):
            changed = bytearray(signed)
            changed[signed.index(part) + 4] ^= 1
            found = read_credentials(bytes(changed))
            assert found
            assert found.state == "Invalid"
            assert any("hash" in problem for problem in found.problems)

    def test_what_does_not_sign_is_refused_before_anything_is_drawn(self, files, tmp_path):
        key, chain = files
        alone = tmp_path / "alone.pem"
        own = ec.generate_private_key(ec.SECP256R1())
        alone.write_bytes(certificate("own", own, "own", own))
        for certificates in (alone, key):
            with pytest.raises(InputError, match=r"C2PA_CERTIFICATES = .*does not sign pictures with key.pem"):
                open_signer(key, certificates)
        with pytest.raises(InputError, match=r"C2PA_KEY = .*chain.pem: no private key of an elliptic curve"):
            open_signer(chain, chain)
        with pytest.raises(InputError, match=r"C2PA_KEY = .*none.pem: No such file"):
            open_signer(tmp_path / "none.pem", chain)


def test_a_key_without_certificates_is_refused():
    assert open_signer(None, None) is None
    with pytest.raises(InputError, match="CONCEPTBOOTH_C2PA_CERTIFICATES is not set"):
        open_signer(Path("key.pem"), None)


def test_without_the_library_a_key_is_refused_and_a_manifest_unchecked(monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InputError, match=r"pip install 'conceptbooth\[c2pa\]'"):
        open_signer(Path("key.pem"), Path("chain.pem"))
    png = plain()
    manifest = len(b"jumb").to_bytes(4, "big") + b"caBX" + b"jumb" + b"\0\0\0\0"
    found = read_credentials(png[:33] + manifest + png[33:])  # behind the signature and the first chunk
    assert found
    assert found.state == "Unchecked"
    assert read_credentials(png) is None


def test_no_png_is_left_as_it_is():
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(buffer, "JPEG")
    for content in (buffer.getvalue(), b"", b"\x89PNG", plain()[:50]):
        assert without_manifest(content) == content
