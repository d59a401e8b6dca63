#!/usr/bin/env python3
"""Writes the seed corpus of every fuzz target from the vectors and captures in tests/data.

    python3 seeds.py            # into corpus/, beside this file
    python3 seeds.py FOLDER     # elsewhere

Deterministic, and quick: some hundred small files for each target. The layout of each target's input is that of
src/requests.rs and src/damage.rs.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
DATA = HERE.parent / "tests" / "data"
DIALECTS = {"/track": 0, "/engage": 1, "/groups": 2, "/import": 3}
TYPES = [None, "application/json", "application/x-www-form-urlencoded", "application/x-ndjson", "text/plain"]
ENCODINGS = [None, "gzip", "identity", "br"]
BYTES_MAX = 32 << 10


def put(target, data):
    if len(data) > BYTES_MAX:
        return
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()[:16]).write_bytes(data)


def request(path, query, headers, body):
    """One request, to every target that can read some of it."""
    headers = {k.lower(): v for k, v in headers.items()}
    dialect = DIALECTS.get("/" + path.strip("/").split("/")[-1], 0)
    if dialect == 3 and "strict=1" in query:
        dialect = 4
    kind = headers.get("content-type", "").split(";")[0]
    kind = TYPES.index(kind) if kind in TYPES else 0
    encoding = headers.get("content-encoding")
    encoding = ENCODINGS.index(encoding) if encoding in ENCODINGS else 0
    raw_query = query.encode()
    if len(raw_query) < 256:
        put("payload", bytes([dialect + 5 * kind + 25 * encoding, len(raw_query)]) + raw_query + body)
    if raw_query:
        put("query", raw_query)
        put("form", raw_query)
    if "authorization" in headers:
        put("basic", headers["authorization"].encode())
    if body[:1] in (b"{", b"["):
        put("ndjson", body)
        put("ndjson", body + b"\n" + body)
        put("form", b"data=" + urllib.parse.quote_plus(body).encode())
    elif body:
        put("form", body)
    for text in (raw_query, body):
        for pair in text.split(b"&"):
            name, _, value = pair.partition(b"=")
            if name == b"data" and value:
                put("base64", urllib.parse.unquote_to_bytes(value.replace(b"+", b" ")))


def vectors():
    for line in (DATA / "vectors" / "ingestion.jsonl").read_text().splitlines():
        vector = json.loads(line)
        if "body_b64" in vector:
            body = base64.b64decode(vector["body_b64"])
            request(vector["path"], vector["query"], vector["headers"], body)


def captures():
    for file in sorted((DATA / "captures").glob("*/*.http")):
        head, _, body = file.read_bytes().partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        path, _, query = first.split(" ")[1].partition("?")
        request(path, query, headers, body)


def hand_made():
    for text in (b"YQ==", b"-_--fg", b"+/++fg==", b" /  fg", b"YW\r\nJj\t", b"A", b"====", b"YQ!="):
        put("base64", text)
    for header in (b"Basic user:secret", b"basic  dG9rZW4", b"BASIC dXNlcjpzZWNyZXQ=", b"Bearer x", b"Basic \xff"):
        put("basic", header)
    for query in (b"verbose=1&ip=1&_=1", b"%76erbose=1&verbose=0", b"callback=mixpanel._jsc%5B1%5D", b"&&=&a&img=true"):
        put("query", query)
    # Longer than any value of use: what is cut off must be cut off by the twin too.
    put("query", b"project_id=" + b"7" * 5000 + b"&api_key=" + b"%ff" * 1500)
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    v4 = bytes([203, 0, 113, 7, 10, 0, 0, 1]) + struct.pack(">HH", 40000, 80)
    for header in (
        b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 80\r\n",
        b"PROXY TCP6 2001:db8::7 ::1 40000 80\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        signature + b"\x21\x11" + struct.pack(">H", 12) + v4,
        signature + b"\x21\x21" + struct.pack(">H", 36) + bytes(36),
        signature + b"\x20\x00" + struct.pack(">H", 0),
        signature + b"\x21\x11" + struct.pack(">H", 16) + v4 + b"\x04\x00\x01\x00",
        signature + b"\x21\x31" + struct.pack(">H", 216) + bytes(216),
    ):
        put("proxy_header", header + b"GET / HTTP/1.1\r\n")
    for text in (
        b'properties["plan"] == "pro" and properties["seats"] > 5',
        b'not defined(user["$email"]) or "a" in properties["tags"] and -1 not in [1, -2.5e3, true, "x"]',
        b'(boolean(properties["X"]) == true)',
        b'event["$time"] >= datetime("2026-03-01T12:00:00") and floor(number("7.5")) % 2 != 1 / 0',
        b"has_prefix(string(properties['a\\u00e9\\n']), \"b\") == not round(1.5) <= ceil(.5) + -(2 * 3) - 1",
        b'1 in [1',
    ):
        put("expression", text)
    # Frames, then damage: each byte is read as src/damage.rs does.
    for seed in range(32):
        put("segment", hashlib.sha512(bytes([seed])).digest() * 2)


if __name__ == "__main__":
    vectors()
    captures()
    hand_made()
    for folder in sorted(CORPUS.iterdir()):
        print(f"{folder.name}: {sum(1 for _ in folder.iterdir())} seeds")
