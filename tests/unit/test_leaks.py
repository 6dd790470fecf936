# Copyright: Sendyard contributors
# GNU General Public License v3.0 or later
"""The search for secrets finds them as programs write them, and nothing where there is none."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import leaks
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lab_leaks import account_key, key, password_hash

PASSWORD = b"pw-" + base64.urlsafe_b64encode(bytes(range(200, 224)))
PRIVATE = {"rsa": rsa.generate_private_key(65537, 2048), "ec": ec.generate_private_key(ec.SECP256R1())}
FORMATS = {"pkcs8": PrivateFormat.PKCS8, "traditional": PrivateFormat.TraditionalOpenSSL}
KINDS = [(kind, form) for kind in PRIVATE for form in FORMATS]


def pem_of(kind: str, form: str) -> bytes:
    return PRIVATE[kind].private_bytes(Encoding.PEM, FORMATS[form], NoEncryption())


def found(data: bytes, secret: leaks.Secret) -> bool:
    """Whether `secret` is found in the midst of other text, wherever it happens to stand there."""
    grams = leaks.index([secret])
    noise = base64.b64encode(secrets.token_bytes(3000))
    return all(leaks.named(noise[:start] + b" " + data + b" " + noise, grams) == {"it"} for start in range(leaks.GRAM))


WRITTEN = {
    "as it is": lambda v: v,
    "base64": base64.b64encode,
    "base64, with a user before it, as AUTH PLAIN has it": lambda v: base64.b64encode(b"\0app@acme.example\0" + v),
    "base64 for URLs": lambda v: base64.urlsafe_b64encode(b"x" + v + b"yz"),
    "hexadecimal": lambda v: v.hex().encode(),
    "hexadecimal with colons": lambda v: v.hex(":").upper().encode(),
    "URL-encoded": lambda v: urllib.parse.quote(v, safe="").encode(),
    "in JSON": lambda v: json.dumps({"password": v.decode()}).encode(),
    "in a diff": lambda v: b"--- before\n+++ after\n+password: " + v,
}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_password_is_found_as_programs_write_it(write: object) -> None:
    assert callable(write)
    assert found(write(PASSWORD), leaks.Secret("it", PASSWORD))


ONE_LINE = {
    "as it is": lambda pem: pem,
    "in JSON, on one line": lambda pem: json.dumps(pem.decode()).encode(),
    "in JSON within JSON": lambda pem: json.dumps(json.dumps(pem.decode())).encode(),
    "indented": lambda pem: pem.replace(b"\n", b"\n      "),
    "URL-encoded": lambda pem: urllib.parse.quote(pem.decode(), safe="").encode(),
    "without line ends": lambda pem: pem.replace(b"\n", b""),
    "base64 of the whole": base64.b64encode,
    "its DER": lambda pem: base64.b64decode(b"".join(pem.splitlines()[1:-1])),
    "its DER in hexadecimal": lambda pem: base64.b64decode(b"".join(pem.splitlines()[1:-1])).hex().encode(),
}


@pytest.mark.parametrize("write", ONE_LINE.values(), ids=ONE_LINE)
@pytest.mark.parametrize(("kind", "form"), KINDS)
def test_a_key_is_found_as_programs_write_it(kind: str, form: str, write: object) -> None:
    assert callable(write)
    pem = pem_of(kind, form)
    assert found(write(pem), key("it", pem))


@pytest.mark.parametrize("form", FORMATS)
def test_a_line_of_a_key_is_enough(form: str) -> None:
    pem = pem_of("rsa", form)
    secret = key("it", pem)
    lines = [part[start : start + 31] for part in leaks.private_lines(pem, secret.numbers) for start in (0, 64, 100)]
    assert len(lines) == 9
    assert all(line in pem.replace(b"\n", b"") and found(line, secret) for line in lines)


def test_a_key_is_found_in_another_format() -> None:
    for kind, private in PRIVATE.items():
        secret = key("it", pem_of(kind, "pkcs8"))
        der = private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        assert found(base64.b64encode(der), secret)


def test_what_is_public_of_a_key_is_not_taken_for_it() -> None:
    for kind, form in KINDS:
        grams = leaks.index([key("it", pem_of(kind, form))])
        public = PRIVATE[kind].public_key()
        for encoding in (Encoding.PEM, Encoding.DER):
            data = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            assert leaks.named(data + data.hex().encode() + base64.b64encode(data), grams) == set()


def test_an_account_key_is_found() -> None:
    numbers = PRIVATE["rsa"].private_numbers()
    parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "n": numbers.public_numbers.n}
    jwk = {
        name: base64.urlsafe_b64encode(value.to_bytes(-(-value.bit_length() // 8), "big")).decode().rstrip("=")
        for name, value in parts.items()
    }
    secret = account_key("it", json.dumps(jwk).encode())
    assert all(found(jwk[part].encode(), secret) for part in "dpq")
    assert leaks.named(jwk["n"].encode(), leaks.index([secret])) == set()


def test_a_hash_is_found_without_its_scheme_and_the_scheme_is_none() -> None:
    body = base64.b64encode(bytes(range(80))).decode()
    secret = password_hash("it", "{SSHA512}" + body)
    assert found(body.encode(), secret)
    assert leaks.named(b"{SSHA512}{SSHA512}{SSHA512}{SSHA512}", leaks.index([secret])) == set()


def test_a_failed_test_shows_nothing_of_them() -> None:
    secret = leaks.Secret("it", PASSWORD)
    assert PASSWORD[:16].decode() not in repr((secret, leaks.index([secret])))


def test_what_is_too_short_to_be_found_everywhere_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        leaks.index([leaks.Secret("it", b"hunter2")])


def test_files_are_found_packed_and_across_blocks(tmp_path: Path) -> None:
    grams = leaks.index([leaks.Secret("it", PASSWORD)])
    data = secrets.token_bytes(leaks.BLOCK - 20) + PASSWORD + secrets.token_bytes(100)
    (tmp_path / "large").write_bytes(data)
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(b"log\n" * 1000 + PASSWORD))
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b" + PASSWORD)
    (tmp_path / "none").write_bytes(PASSWORD[:15])
    paths = leaks.files_below([str(tmp_path)])
    assert sorted(Path(path).name for path in leaks.where(paths, grams)) == ["broken.gz", "large", "old.log.gz"]


def test_a_file_is_for_others_only_where_its_directories_let_them_in() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own are below one that is closed to others
        directory = Path(name)
        path = directory / "file"
        path.write_text("x")
        path.chmod(0o644)
        directory.chmod(0o755)
        assert leaks.others_may_read(str(path))
        directory.chmod(0o750)
        assert not leaks.others_may_read(str(path))
        directory.chmod(0o755)
        path.chmod(0o640)
        assert not leaks.others_may_read(str(path))


@pytest.mark.parametrize("part", ["cmdline", "environ"])
def test_a_process_that_is_there_for_a_moment_is_seen(part: str) -> None:
    word = secrets.token_urlsafe(24)
    ends = threading.Event()
    seen: dict[str, list[str]] = {}

    def watch() -> None:
        grams = leaks.index([leaks.Secret("it", word.encode())])
        seen.update(leaks.watch(grams, [], ends.is_set, 0.01)[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    arguments = [word] if part == "cmdline" else []
    environment = {"WORD": word} if part == "environ" else {}
    subprocess.run([sys.executable, "-Sc", "import time; time.sleep(1)", *arguments], env=environment, check=True)
    ends.set()
    watcher.join()
    assert seen
    assert all(name.startswith(f"process {part}: ") for name in seen), seen
