"""Mistakes in a policy of prod/*: its fields, and a part of the message."""

from typing import Any, Final

from tests.policies.examples import KEYS

MISTAKES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "an unknown field": ({"scna": {}}, "policies[0] (prod) has no field 'scna'; did you mean scan?"),
    "one of Python": ({"any_of": []}, "did you mean anyOf?"),
    "an unknown field below": ({"scan": {"maxage": "1d"}}, "(prod).scan has no field 'maxage'; did you mean maxAge?"),
    "nothing": ({"scan": None}, "policies[0] (prod).scan is a table"),
    "an empty scan": ({"scan": {}}, "it requires nothing; set required = true"),
    "a scan that is not required": ({"scan": {"required": False, "maxAge": "1d"}}, "required = false means nothing"),
    "exceptions of no maximum": (
        {"scan": {"required": True, "allowedCves": [{"id": "CVE-1", "until": "2027-01-31", "reason": "x"}]}},
        "allowedCves are exceptions of a maximum",
    ),
    "a severity in upper case": ({"scan": {"maximumFixableSeverity": "HIGH"}}, "not 'HIGH'; did you mean high?"),
    "a severity of Google": ({"scan": {"maximumFixableSeverity": "BLOCK_ALL"}}, "did you mean none?"),
    "a severity that is none": ({"scan": {"maximumFixableSeverity": "unknown"}}, "did you mean low?"),
    "a duration of months": ({"scan": {"maxAge": "1M"}}, "maxAge is a duration such as 7d"),
    "no duration": ({"scan": {"maxAge": "0d"}}, "maxAge is a duration"),
    "a duration that is a number": ({"scan": {"maxAge": 7}}, "maxAge is a duration"),
    "a duration of millennia": ({"scan": {"maxAge": "999999d"}}, "of at most 36500d"),
    "an exception without an end": (
        {"exceptions": [{"image": "prod/x", "reason": "x"}], "scan": {"required": True}},
        "exceptions[0] needs until",
    ),
    "an exception without a reason": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31"}], "scan": {"required": True}},
        "exceptions[0] needs reason",
    ),
    "an empty reason": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31", "reason": " "}], "scan": {"required": True}},
        "reason is text of one line",
    ),
    "a time without a zone": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31T12:00:00", "reason": "x"}]},
        "a time with its zone",
    ),
    "an exception of a glob": (
        {"exceptions": [{"image": "prod/*", "until": "2027-01-31", "reason": "x"}], "scan": {"required": True}},
        "image is REPOSITORY or REPOSITORY@DIGEST",
    ),
    "the same exception twice": (
        {"exceptions": [{"image": "prod/x", "until": "2027-01-31", "reason": "x"}] * 2, "scan": {"required": True}},
        "exceptions[1] is there twice",
    ),
    "a repository with a slash in front": ({"repositories": ["/prod/*"]}, "no repository has such a name: /prod/*"),
    "a repository with a slash at its end": ({"repositories": ["prod/"]}, "no repository has such a name: prod/"),
    "an exception of no repository": ({"repositories": ["prod/*", "!prod//x"]}, "such a name: !prod//x"),
    "no signers": ({"signatures": {"allOf": True}}, "it needs keys, certificates or identities"),
    "a key without its content": ({"signatures": {"keys": [{"name": "x"}]}}, "it needs pem or file"),
    "a key that is no PEM": ({"signatures": {"keys": [{"name": "x", "pem": "x"}]}}, "is one PUBLIC KEY as PEM"),
    "the same key twice": (
        {"signatures": {"keys": [{"name": name, "pem": KEYS["release"]} for name in "ab"]}},
        "keys[1] is there twice",
    ),
    "two signers of one name": (
        {"signatures": {"keys": [{"name": "a", "pem": KEYS[each]} for each in KEYS]}},
        "two signers have the same name",
    ),
    "an identity of anyone": (
        {"signatures": {"identities": [{"issuer": "https://x.example", "subjectGlob": "**"}]}},
        "it would match every identity of the issuer",
    ),
    "an issuer without TLS": (
        {"signatures": {"identities": [{"issuer": "http://x.example", "subject": "a"}]}},
        "issuer is the https URL",
    ),
    "an identity without a subject": (
        {"signatures": {"identities": [{"issuer": "https://x.example"}]}},
        "it needs subject or subjectGlob",
    ),
    "an empty alternative": ({"anyOf": [{}]}, "one that needs nothing is always fulfilled"),
    "exempt is all": ({"exempt": ["*"], "scan": {"required": True}}, "* is not one principal"),
    "exempt is a domain": ({"exempt": ["*@example.com"], "scan": {"required": True}}, "is not one principal"),
    "exempt is anonymous": ({"exempt": ["allUsers"], "scan": {"required": True}}, "is not one principal"),
    "exempt is empty": ({"exempt": [""], "scan": {"required": True}}, "is the name of a principal"),
    "a policy of nothing": ({}, "it requires nothing; it needs signatures, scan, image, anyOf or push"),
    "tags without requirements": ({"tags": ["v*"], "push": {"maximumSize": "1GiB"}}, "tags and gateRollback are about"),
    "no repositories": ({"repositories": [], "scan": {"required": True}}, "repositories is a list of 1 to 100"),
    "exceptions of repositories only": ({"repositories": ["!x"], "scan": {"required": True}}, "names nothing"),
    "a repository twice": ({"repositories": ["x", "x"], "scan": {"required": True}}, "repositories[1] is there twice"),
    "a name with capitals": ({"name": "Prod", "scan": {"required": True}}, "name is a name of lower-case letters"),
    "a mode of others": ({"mode": "warn", "scan": {"required": True}}, "mode is one of enforce, audit, not 'warn'"),
    "an age that is none": ({"image": {"minAge": "2d", "maxAge": "1d"}}, "no image is older than minAge"),
    "a push of nothing": ({"push": {}}, "it needs mediaTypes, requiredLabels or maximumSize"),
    "a size without a unit": ({"push": {"maximumSize": "100"}}, "maximumSize is a size such as 500MiB"),
    "a flag that is a text": ({"gateRollback": "yes", "scan": {"required": True}}, "gateRollback is true or false"),
    "a file in a rule": ({"signatures": {"keys": [{"name": "x", "file": "x"}]}}, "has no field 'file'"),
    "control characters": ({"exempt": ["a\nb"], "scan": {"required": True}}, "is the name of a principal"),
}  # fmt: skip
