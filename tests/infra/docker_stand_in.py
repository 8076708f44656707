"""A Docker that builds nothing: an image is a record in the registry of the account."""

import json
import sys

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def main(verb: str, *words: str) -> int:
    """Answer one command of the CDK; return its exit code."""
    match verb:
        case "version":
            sys.stdout.write("28.2\n")
        case "buildx":
            sys.stdout.write("linux/amd64, linux/arm64\n")
        case "inspect":
            return 1  # no image was built before
        case "login":
            sys.stdin.read()
        case "push":
            import boto3  # a second, which the other commands need not take

            _, _, name = words[-1].partition("/")
            repository, _, tag = name.partition(":")
            boto3.client("ecr").put_image(
                repositoryName=repository,
                imageTag=tag,
                imageManifest=json.dumps({"tag": tag}),
                imageManifestMediaType=MANIFEST_TYPE,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
