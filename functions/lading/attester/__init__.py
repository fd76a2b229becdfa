"""The attester: writes attestations of Binary Authorization for images that pass the policies of a registry.

It has no stores. Pub/Sub's messages (wake_up) and the sweep say which images to ask the registry about (attest_run);
attestations of those that pass (attestation) are signed by Cloud KMS (kms_signer) and written to Container Analysis
(attestations), over REST (google_api).
"""
