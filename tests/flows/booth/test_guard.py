"""Who may ask the booth what, without a browser: strangers' pages, bounds, read-only, orders and files of others."""

import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.booth.app import booth_app
from flows.booth.booth import Booth
from flows.booth.guard import COOKIE, HEADER, is_loopback
from tasks.project.settings import apply_environment
from tasks.promotion.policy import POLICY_FILE
from tests.lineage_project import Trained

ORIGIN = "http://127.0.0.1:7860"
OWN = {HEADER: "1", "origin": ORIGIN}
ORDER = {"prompt": "a photo of a {}", "negative_prompt": "", "count": 1, "seed": 0, "versions": ["2"]}
CONCEPTBOOTH = Path(sys.executable).parent / "conceptbooth"


def client_of(booth: Booth) -> TestClient:
    return TestClient(booth_app(booth, "127.0.0.1"), base_url=ORIGIN, raise_server_exceptions=False)


@pytest.fixture
def booth(lineage_project: Trained) -> Iterator[Booth]:
    apply_environment(lineage_project.settings)
    booth = Booth(lineage_project.settings, read_only=False)
    yield booth
    booth.close()
    shutil.rmtree(lineage_project.settings.home / "booth", ignore_errors=True)


@pytest.fixture
def client(booth: Booth) -> TestClient:
    return client_of(booth)


def test_the_page_answers_under_its_own_name_alone(client: TestClient):
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": "localhost:7860"}).status_code == 200
    refused = client.get("/", headers={"host": "evil.example:7860"})
    assert refused.status_code == 403 and "evil.example" in refused.text
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and not is_loopback("0.0.0.0")


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": ORIGIN}, {HEADER: "1", "origin": "http://evil.example"}, {HEADER: "1", "origin": "null"}],
)
def test_pages_of_others_change_nothing(client: TestClient, booth: Booth, headers: dict[str, str]):
    for path in ("/c/owl/training", "/c/owl/drawings", "/drafts"):
        assert client.post(path, json=ORDER, headers=headers).status_code == 403
    assert booth.trainings.all() == {} and not (booth.settings.home / "booth" / "visitors").exists()


def test_what_is_sent_along_keeps_browsers_from_asking_elsewhere(client: TestClient):
    answer = client.get("/c/owl")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "http" not in policy
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    gallery = client.get("/c/owl/2/gallery")
    assert gallery.status_code == 200 and "script-src" not in gallery.headers["content-security-policy"]


def test_a_version_is_held_against_the_project_s_gates(client: TestClient, booth: Booth):
    policy = booth.settings.root / POLICY_FILE
    usual = policy.read_text()
    for minimum, state in (("-1", "good"), ("0.999", "bad")):
        policy.write_text(f"minimum: {{clip_i: {minimum}}}\n")
        page = client.get("/c/owl?version=2").text
        policy.write_text(usual)
        (said,) = re.findall(f'<p class="notice {state}">Verdict: ([^<]*)</p>', page)
        assert "CLIP-I" in said and ("at least 0.999" in said) == (state == "bad"), said


def test_galleries_are_the_pages_that_train_and_gallery_index_write(client: TestClient, booth: Booth):
    assert 'href="/gallery/index.html"' in client.get("/c/owl").text
    index = client.get("/gallery/index.html")
    assert "<h1>All concepts" in index.text and "owl" in index.text
    assert html.unescape(index.text).count(index.headers["content-security-policy"]) == 1
    folder = booth.settings.gallery_dir / "owl"
    for page in (folder / "index.html", folder / "v2" / "index.html"):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("framed")
    try:
        assert client.get("/c/owl/2/gallery").text == client.get("/gallery/owl/index.html").text == "framed"
    finally:
        shutil.rmtree(folder)
    assert client.get("/gallery/owl/v2/index.html").status_code == 404
    assert client.get("/gallery/..%2F..%2Fparams.yaml/index.html").status_code in (404, 422)


def test_an_order_is_refused_with_all_that_is_wrong_with_it(client: TestClient, booth: Booth, monkeypatch):
    monkeypatch.setenv("CONCEPTBOOTH_SERVE_PICTURES", "6")
    bad = {"prompt": "an owl", "count": 0, "seed": -1, "versions": ["9", "candidate"]}
    answer = client.post("/c/owl/drawings", json=bad, headers=OWN)
    said = "\n".join(answer.json()["problems"])
    assert answer.status_code == 422
    for words in ("no {} where the concept", "no version 9; versions: 1, 2", "number of pictures = 0", "seed"):
        assert words in said, said
    beyond = client.post("/c/owl/drawings", json=ORDER | {"count": 4, "versions": ["1", "2"]}, headers=OWN)
    assert beyond.json()["problems"] == ["8 pictures: a request may ask for 6"]
    twice = client.post("/c/owl/drawings", json=ORDER | {"versions": ["2", "candidate"]}, headers=OWN)
    assert "the same version twice" in twice.text
    for path in ("/c/owl/drawings", "/drafts/0/check"):
        assert client.post(path, content=b"{" * 70_000, headers=OWN).status_code == 413
    assert not (booth.settings.home / "booth" / "visitors").exists()


def test_a_drawing_survives_the_crash_of_the_program_that_draws(client: TestClient, booth: Booth):
    first = client.post("/c/owl/drawings", json=ORDER, headers=OWN).json()["id"]
    deadline = time.monotonic() + 60
    while booth.drawer.process_id is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert booth.drawer.process_id is not None
    os.kill(booth.drawer.process_id, signal.SIGKILL)
    failed = _over(client, first)
    assert failed["state"] == "failed" and "has ended" in failed["problems"][0]
    second = _over(client, client.post("/c/owl/drawings", json=ORDER, headers=OWN).json()["id"])
    assert second["state"] == "done" and len(second["sides"][0]["pictures"]) == 1
    saved = client.get(second["sides"][0]["pictures"][0], params={"save": "true"})
    assert "attachment" in saved.headers["content-disposition"]
    # nobody else's: another browser, and one that knows the folder's name on the disk
    stranger = client_of(booth)
    assert stranger.get(second["sides"][0]["pictures"][0]).status_code == 404
    [folder] = (booth.settings.home / "booth" / "visitors").iterdir()
    stranger.cookies.set(COOKIE, folder.name)
    assert stranger.get(f"/drawings/{second['id']}").status_code == 404


def _over(client: TestClient, identity: str) -> dict:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        told = client.get(f"/drawings/{identity}").json()
        if told["state"] in ("done", "failed", "stopped"):
            return told
        time.sleep(0.2)
    raise AssertionError(told)


def test_one_visitor_does_not_fill_the_queue(client: TestClient, booth: Booth):
    orders = [client.post("/c/owl/drawings", json=ORDER, headers=OWN) for _ in range(3)]
    assert [order.status_code for order in orders] == [200, 200, 422]
    for order in orders[:2]:
        client.delete(f"/drawings/{order.json()['id']}", headers=OWN)
        assert client.get(f"/drawings/{order.json()['id']}").json()["state"] == "stopped"


def test_read_only_draws_and_does_nothing_else(lineage_project: Trained):
    apply_environment(lineage_project.settings)
    booth = Booth(lineage_project.settings, read_only=True)
    try:
        client = client_of(booth)
        page = client.get("/c/owl").text
        assert 'id="drawing"' in page and 'id="train"' not in page and "New concept" not in page
        for method, path in (("POST", "/c/owl/training"), ("POST", "/drafts"), ("GET", "/new")):
            answer = client.request(method, path, headers=OWN)
            assert answer.status_code == 403 and "read-only" in answer.text
    finally:
        booth.close()


def test_files_of_a_draft_are_its_visitors_alone_and_bounded(client: TestClient, booth: Booth, monkeypatch):
    monkeypatch.setattr("flows.booth.draft_routes.MOST_FILE_BYTES", 1000)
    draft = client.post("/drafts", headers=OWN).json()["id"]
    place = f"/drafts/{draft}/files"
    kept = client.put(place, params={"name": "../../etc/a:b?.png"}, content=b"x" * 1000, headers=OWN)
    assert kept.json() == {"number": "001", "name": "a-b-.png"}
    assert client.put(place, params={"name": "b.png"}, content=b"x" * 1001, headers=OWN).status_code == 422
    assert client_of(booth).put(place, params={"name": "c.png"}, content=b"x", headers=OWN).status_code == 404
    found = sorted((booth.settings.home / "booth" / "visitors").rglob("*.png"))
    assert [path.name for path in found] == ["a-b-.png"]
    client.delete(f"{place}/001", headers=OWN)
    assert not found[0].exists()


def test_unknown_things_are_told_as_a_page_to_people_and_as_json_to_scripts(client: TestClient):
    page = client.get("/c/nobody", headers={"accept": "text/html"})
    assert page.status_code == 404 and "there is none in this project" in page.text and "<html" in page.text
    assert client.get("/c/owl?version=9", headers={"accept": "text/html"}).status_code == 404
    assert client.get("/c/owl/2/evaluate/scores.json").status_code == 404
    assert client.get("/c/owl/2/evaluate/%2e%2e/%2e%2e/concept.yaml").status_code == 404
    assert "problems" in client.get("/nothing").json()


def test_the_command_serves_loopback_until_it_is_interrupted(lineage_project: Trained, tmp_path: Path):
    settings = lineage_project.settings
    program = [str(CONCEPTBOOTH), "booth", "--read-only"]
    with (tmp_path / "said").open("w") as notices:
        process = subprocess.Popen(program, cwd=settings.root, stdout=subprocess.PIPE, stderr=notices, text=True)
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"owl" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    assert "stopped" in (tmp_path / "said").read_text()
    shutil.rmtree(settings.home / "booth", ignore_errors=True)


def test_a_port_that_is_taken_and_an_address_elsewhere_are_told(lineage_project: Trained):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for options, words in (
            (["--port", str(port)], "another with --port"),
            (["--host", "no.such.host.invalid"], "no address of this machine"),
        ):
            done = subprocess.run(
                [str(CONCEPTBOOTH), "booth", *options],
                cwd=lineage_project.settings.root,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode in (1, 2) and words in done.stderr
            assert json.dumps(done.stdout) == '""'
