#!/bin/sh
# pip install, within the build of an image: from the wheels beside this script if there are any.
set -eu
here=$(dirname "$0")
if [ -d "$here/wheels" ]; then set -- --no-index --find-links "$here/wheels" "$@"; fi
if [ -f /run/ca.pem ]; then export PIP_CERT=/run/ca.pem; fi
python3 -m pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile \
    --disable-pip-version-check --root-user-action ignore "$@"
# Nothing changes once the image is built, so Python need not compare times when it imports.
# Packages may carry files that are no Python of this version; those never were to be imported.
/opt/venv/bin/python -m compileall -q -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib || true
