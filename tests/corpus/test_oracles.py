"""What callers cannot find out: "not there" and "not allowed" differ neither in status nor in body nor in a header."""

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.corpus.user_headers import Headers
from tests.support import images
from tests.support.app_client import Client, Response, content_type_header
from tests.support.fake_iam_world import RestrictedApp

HIDDEN, ABSENT, OWN = "other/secret", "other/absent", "team/app"
LAYER, NOWHERE = b"what the hidden repository has", b"what no repository has at all!"
MANIFEST, UNKNOWN = images.manifest([LAYER]), images.manifest([NOWHERE])
TYPE = {"Content-Type": OCI_MANIFEST}

# REPO is HIDDEN or ABSENT: with what is in HIDDEN, and with what is nowhere.
OF_REPOSITORIES = (
    "GET /v2/REPO/manifests/v1",
    "HEAD /v2/REPO/manifests/v1",
    "GET /v2/REPO/manifests/v1@2020-01-01T00:00:00Z",
    f"GET /v2/REPO/manifests/{digest_of(MANIFEST)}",
    f"HEAD /v2/REPO/manifests/{digest_of(MANIFEST)}",
    f"GET /v2/REPO/blobs/{digest_of(LAYER)}",
    f"HEAD /v2/REPO/blobs/{digest_of(LAYER)}",
    "GET /v2/REPO/tags/list",
    "GET /v2/REPO/tags/list?n=1&last=a",
    f"GET /v2/REPO/referrers/{digest_of(MANIFEST)}",
    "GET /v2/_lading/REPO/history",
    "GET /v2/_lading/REPO/history?tag=v1",
    "POST /v2/REPO/blobs/uploads/",
    f"POST /v2/REPO/blobs/uploads/?digest={digest_of(LAYER)}",
    f"POST /v2/REPO/blobs/uploads/?mount={digest_of(LAYER)}&from=team/app",
    f"POST /v2/team/app/blobs/uploads/?mount={digest_of(LAYER)}&from=REPO",
    f"GET /v2/REPO/blobs/uploads/{'0' * 32}",
    f"PATCH /v2/REPO/blobs/uploads/{'0' * 32}",
    f"PUT /v2/REPO/blobs/uploads/{'0' * 32}?digest={digest_of(LAYER)}",
    f"DELETE /v2/REPO/blobs/uploads/{'0' * 32}",
    "PUT /v2/REPO/manifests/v1",
    f"PUT /v2/REPO/manifests/{digest_of(MANIFEST)}",
    f"DELETE /v2/REPO/blobs/{digest_of(LAYER)}",
    f"DELETE /v2/REPO/manifests/{digest_of(MANIFEST)}",
    "DELETE /v2/REPO/manifests/v1",
    "GET /v2/token?scope=repository:REPO:pull,push,delete",
    "GET /v2/_catalog?n=1&last=REPO",
    "OPTIONS /v2/REPO/manifests/v1",
    "GET /v2/REPO/manifests/",
    "GET /v2/REPO/unknown",
)

# DIGEST is of what is in HIDDEN, or nowhere, and is asked for where the caller may do all.
OF_CONTENT = (
    "GET /v2/team/app/blobs/DIGEST",
    "HEAD /v2/team/app/blobs/DIGEST",
    "GET /v2/team/app/manifests/DIGEST",
    "HEAD /v2/team/app/manifests/DIGEST",
    "GET /v2/team/app/referrers/DIGEST",
    "DELETE /v2/team/app/blobs/DIGEST",
    "DELETE /v2/team/app/manifests/DIGEST",
    "POST /v2/team/app/blobs/uploads/?mount=DIGEST",
    f"POST /v2/team/app/blobs/uploads/?mount=DIGEST&from={HIDDEN}",
    f"POST /v2/team/app/blobs/uploads/?mount=DIGEST&from={ABSENT}",
    "PUT /v2/team/app/manifests/v1",
    "PUT /v2/team/app/manifests/index",
)

CALLERS = {
    # caller: the user, and whether with a token for all that is asked
    "anonymous": ("", False),
    "anonymous, with a token": ("", True),
    "a user without rights": ("bob", False),
    "a user without rights, with a token": ("bob", True),
    "a user with rights elsewhere": ("alice", False),
    "a user with rights elsewhere, with a token": ("alice", True),
    "a user who may only push elsewhere": ("dave", True),
}
SCOPES = [*(f"repository:{name}:pull,push,delete" for name in (HIDDEN, ABSENT, OWN)), "registry:catalog:*"]
OF_EACH_REQUEST = ("x-request-id", "docker-upload-uuid", "date")


@pytest.fixture
def app(guarded: RestrictedApp, owner: Client) -> RestrictedApp:
    owner.push_image(HIDDEN, "v1", LAYER)
    owner.push_image(OWN, "v1")
    return guarded


def told(answer: Response, *names: str) -> tuple[int, list[tuple[str, str]], str]:
    """All that a caller gets, without `names` and what is another one each time."""

    def blind(text: str) -> str:
        for name in (*names, answer.headers.get("Docker-Upload-UUID", "")):
            text = text.replace(name, "-") if name else text
        return text

    kept = [(name, blind(value)) for name, value in answer.headers if name.lower() not in OF_EACH_REQUEST]
    if answer.status == 200 and b'"token"' in answer.body:
        # A token is another one each time: what it is good for is said beside it.
        return 200, [], blind(answer.json["scope"])
    return answer.status, kept, blind(answer.body.decode())


@pytest.mark.parametrize("caller", CALLERS)
def test_a_repository_that_may_not_be_seen_is_as_one_that_is_not_there(
    caller: str, app: RestrictedApp, headers: Headers
) -> None:
    user, by_token = CALLERS[caller]
    sent = headers(user, *SCOPES * by_token)
    differing = []
    for line in OF_REPOSITORIES:
        method, target = line.split(" ")
        body = {"PUT": MANIFEST if "/manifests/" in target else LAYER, "PATCH": LAYER}.get(method, b"")
        there, absent = (
            told(app.client.request(method, target.replace("REPO", name), body, sent | TYPE), name)
            for name in (HIDDEN, ABSENT)
        )
        if there != absent:
            differing.append((line, there, absent))
    assert differing == []


@pytest.mark.parametrize("by_token", [False, True], ids=["basic", "token"])
@pytest.mark.parametrize("user", ["alice", "carol"])
def test_content_of_others_is_as_content_that_is_nowhere(
    user: str, by_token: bool, app: RestrictedApp, headers: Headers
) -> None:
    sent = headers(user, *SCOPES * by_token)
    differing = []
    for line in OF_CONTENT:
        method, target = line.split(" ")
        pairs = [(LAYER, NOWHERE), (MANIFEST, UNKNOWN)]
        for pair in pairs:
            answers = []
            for content in pair:
                body = {"v1": images.manifest([content]), "index": images.index([images.manifest([content])])}.get(
                    target.rpartition("/")[2], b""
                )
                media = content_type_header(body) if body else {}
                digest = digest_of(content)
                names = (digest, digest_of(images.manifest([content])))
                answer = app.client.request(method, target.replace("DIGEST", digest), body, sent | media)
                answers.append(told(answer, *names))
            if answers[0] != answers[1]:
                differing.append((line, *answers))
    assert differing == []


def test_the_names_of_others_are_on_no_page(app: RestrictedApp, headers: Headers) -> None:
    for user in ("bob", "alice", "carol", "dave"):
        for sent in (headers(user), headers(user, *SCOPES)):
            for query in ("", "?n=1", "?n=1&last=other/", "?n=1000&last=other/secre", "?n=0"):
                answer = app.client.request("GET", f"/v2/_catalog{query}", headers=sent)
                assert answer.status == 200
                assert "secret" not in f"{answer.body!r} {answer.headers}"


# SESSION is one of alice's, or none at all.
OF_SESSIONS = (
    "GET /v2/team/app/blobs/uploads/SESSION",
    "PATCH /v2/team/app/blobs/uploads/SESSION",
    f"PUT /v2/team/app/blobs/uploads/SESSION?digest={digest_of(LAYER)}",
    "PUT /v2/team/app/blobs/uploads/SESSION",
    "DELETE /v2/team/app/blobs/uploads/SESSION",
    "HEAD /v2/team/app/blobs/uploads/SESSION",
    "GET /v2/team/other/blobs/uploads/SESSION",
    "PATCH /v2/team/other/blobs/uploads/SESSION",
    f"PUT /v2/team/other/blobs/uploads/SESSION?digest={digest_of(LAYER)}",
    "DELETE /v2/team/other/blobs/uploads/SESSION",
)


@pytest.mark.parametrize("user", ["", "bob", "carol", "dave"])
@pytest.mark.parametrize("by_token", [False, True], ids=["basic", "token"])
def test_a_session_of_another_user_is_as_one_that_is_not_there(
    user: str, by_token: bool, app: RestrictedApp, headers: Headers
) -> None:
    alice, sent = headers("alice"), headers(user, *SCOPES * by_token)
    started = app.client.request("POST", "/v2/team/app/blobs/uploads/", headers=alice)
    session = started.headers["Docker-Upload-UUID"]
    path = f"/v2/team/app/blobs/uploads/{session}"
    assert app.client.request("PATCH", path, LAYER[:9], alice).status == 202
    differing = []
    for line in OF_SESSIONS:
        method, target = line.split(" ")
        body = LAYER if method in ("PUT", "PATCH") else b""
        there, absent = (
            told(app.client.request(method, target.replace("SESSION", each), body, sent), each)
            for each in (session, "0" * 32)
        )
        if there != absent or there[0] not in (401, 403, 404, 405, 400):
            differing.append((line, there, absent))
    assert differing == []

    assert app.client.request("GET", path, headers=alice).headers["Range"] == "0-8"
    assert app.client.request("PUT", f"{path}?digest={digest_of(LAYER)}", LAYER[9:], alice).status == 201
