"""Check of the rules without a cloud: `python -m deployer rules.json [HOST/REPOSITORY:TAG …]`.

Prints what a push of each image would deploy. The exit status is 1 if the rules are not valid.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deployer.events import FIELDS, TagMoved
from deployer.rules import Rules, RulesError, parse

EXAMPLE_DIGEST: Final = f"sha256:{'0' * 64}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="deployer", description="Check the rules of deployments; deploy nothing.")
    parser.add_argument("rules", type=Path, help="file of the rules")
    parser.add_argument("images", nargs="*", metavar="HOST/REPOSITORY:TAG", help="show what a push of it would deploy")
    options = parser.parse_args(arguments)
    try:
        rules = parse(options.rules.read_text())
    except (OSError, RulesError) as error:
        sys.stderr.write(f"{options.rules}: {error}\n")
        return 1
    sys.stdout.write(f"{options.rules}: {len(rules.rules)} rules\n")
    for image in options.images:
        sys.stdout.write(_plan(rules, image))
    return 0


def _plan(rules: Rules, image: str) -> str:
    host, _, rest = image.partition("/")
    repository, _, tag = rest.rpartition(":")
    if not re.fullmatch(FIELDS["repository"], repository) or not re.fullmatch(FIELDS["tag"], tag):
        return f"{image}: not HOST/REPOSITORY:TAG\n"
    event = TagMoved("", "", host, repository, tag, EXAMPLE_DIGEST)
    if not rules.knows(host):
        return f"{image}: {host} is not in the rules' `hosts`\n"
    targets = rules.targets_of(event)
    pulled = rules.image_of(event).replace(EXAMPLE_DIGEST, "DIGEST")
    return "".join(f"{image}: {pulled} → {target}\n" for target in targets) or f"{image}: no rule matches\n"


if __name__ == "__main__":
    sys.exit(main())
