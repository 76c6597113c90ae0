"""Uploads a file to chatfiles, downloads it and its thumbnail, with nothing but Python's own library."""

import json
import secrets
import sys
import urllib.error
import urllib.request

address, token, path = sys.argv[1:]
with open(path, "rb") as file:
    picture = file.read()


def upload(content):
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    request = urllib.request.Request(
        address,
        data=head.encode() + content + f"\r\n--{boundary}--\r\n".encode(),
        headers={
            "Authorization": f"Bearer {token}",
            "restrict-access": "true",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def download(url, secret, **more):
    headers = {
        "Authorization": f"Bearer {token}",
        "share-secret": secret,
        "Accept": "application/octet-stream",
        **more,
    }
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.read(), int(answer.headers["Content-Length"])


uploaded = upload(picture)
entity = uploaded["entities"][0]
url = f"{uploaded['uri']}/{entity['uuid']}"
whole, announced = download(url, entity["share-secret"])
small, _ = download(url, entity["share-secret"], thumbnail="true")
try:
    upload(picture * 3)
    refusal, text = 200, ""
except urllib.error.HTTPError as error:
    refusal, text = error.code, json.load(error)["error_description"]

print(
    json.dumps(
        {
            "uri": uploaded["uri"],
            "downloaded": len(whole),
            "announced": announced,
            "isSame": whole == picture,
            "thumbnail": len(small),
            "refusal": refusal,
            "refusalText": text,
        }
    )
)
