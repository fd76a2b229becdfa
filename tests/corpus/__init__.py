"""Attacks that the registry withstood when it was audited, kept so that it goes on to withstand them.

Most are rows of a table, with what is answered to each. Which file has which:

    tokens of our own: algorithms, keys, headers, times    tests/auth/test_tokens.py
    Google's ID tokens: signatures, audiences, names       tests/auth/test_id_tokens.py
    claims of another type in both                         tests/corpus/test_claims.py
    scopes                                                 tests/corpus/test_scopes.py, auth/test_token_endpoint.py
    the token endpoint: credentials, forms, Host           tests/auth/test_token_endpoint.py
    IAM: folders, scopes of Google tokens, failures        tests/auth/test_iam.py, tests/auth/test_authorizers.py
    Google tokens without scopes, and federated callers    tests/auth/test_google_tokens.py, test_federated_callers.py
    which principal may send which request                 tests/auth/test_access_matrix.py
    what cannot be found out                               tests/corpus/test_oracles.py, auth/test_sight.py
    mounts                                                 tests/auth/test_visibility.py, tests/corpus/test_oracles.py
    upload sessions of other callers                       tests/corpus/test_oracles.py, auth/test_sight.py
    immutable tags                                         tests/corpus/test_immutable_tags.py, tests/races/test_tags.py
    where requests over HTTP/1.1 end                       tests/corpus/framing.py, test_framing.py
    many listings at a time                                tests/corpus/test_searches.py
    floods, slow clients, and clients that do not read     tests/faults/test_anonymous_clients.py,
    tests/faults/test_floods.py bad paths, uploads and manifests                       tests/api/bad_*.py what is
    written down, and that no secret is            tests/auth/test_audit.py 50 hostile clients beside a pull and a login
    tests/benchmarks/hostile.py
"""
