"""Print the table of docs/sagemaker.md, and what is different: `make toolkit`."""

import logging
import sys
import warnings

from tests.toolkit import package
from tests.toolkit.test_containers import sklearn_reading, xgboost_reading
from tests.toolkit.test_model_server import answering
from tests.toolkit.test_toolkit import handler, reading, writing


def main() -> None:
    logging.disable()  # the model server logs each answer that it cannot encode
    warnings.simplefilter("ignore")
    with package.importable():
        toolkit = handler()
    found = (reading(toolkit), writing(toolkit), answering(), xgboost_reading(), sklearn_reading())
    lines = ["| compared with | requests | equal | different |", "|---|---:|---:|---:|"]
    lines += [one.row() for one in found]
    for one in found:
        lines += ["", f"{one.name}, different:"]
        lines += [f"  {count:4} {kind}" for kind, count in sorted(one.different.items())]
    sys.stdout.write("\n".join(lines) + "\n")


main()
