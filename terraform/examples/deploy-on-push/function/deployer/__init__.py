"""Deploys what a tag of Lading points to: one event of the registry, the rules that match it, one call for each target.

    Pub/Sub → function → events (what moved) → rules (where to) → run → cloud_run | gke | cloud_deploy → Google's APIs
                                                                    ↘ sequences (never twice, never backwards)

It stores nothing of its own: the sequence of the last deployed event is an annotation of the target.
"""
