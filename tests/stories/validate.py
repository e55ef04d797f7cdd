"""Asks other people's validators about documents; `documents.rs` runs it. Prints one line for each, or fails.

usage: validate.py DOCUMENTS-FOLDER LEDGER-KEY-IN-HEXADECIMAL
"""

import base64
import importlib.metadata
import json
import pathlib
import sys

folder, key = pathlib.Path(sys.argv[1]), sys.argv[2]


def agreed(package, what):
    print(f"{package} {importlib.metadata.version(package)}: {what}")


def bill_of_materials():
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (folder / "ml-bom").read_text()
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert (error := validator.validate_str(text)) is None, error
    bom = json.loads(text)
    # A reference that leads nowhere is not the schema's business, but it is a mistake.
    known = {bom["metadata"]["component"]["bom-ref"]} | {component["bom-ref"] for component in bom["components"]}
    used = {entry["ref"] for entry in bom["dependencies"]}
    used |= {ref for entry in bom["dependencies"] for ref in entry["dependsOn"]}
    used |= {data["ref"] for data in bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]}
    for task in bom["formulation"][0]["workflows"][0]["tasks"]:
        used |= {reference["ref"] for reference in task["resourceReferences"]}
    assert used <= known, used - known
    bom["metadata"]["component"]["modelCard"]["accuracy"] = 1
    assert validator.validate_str(json.dumps(bom)) is not None, "a validator that takes anything says nothing"
    agreed("cyclonedx-python-lib", "ml-bom is strict CycloneDX 1.6")


def envelope(name, predicate_of):
    from google.protobuf.json_format import ParseDict
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    text = (folder / name).read_text()
    public = SSlibKey(key, "ed25519", "ed25519", {"public": key})
    signed = Envelope.from_dict(json.loads(text))
    assert key in signed.verify([public], 1)
    statement = json.loads(signed.payload)
    Statement.copy_from_pb(ParseDict(statement, StatementMessage())).validate()
    ParseDict(statement["predicate"], predicate_of())
    forged = json.loads(text)
    forged["payload"] = base64.b64encode(signed.payload.replace(b"Statement/v1", b"Statement/v2")).decode()
    try:
        Envelope.from_dict(forged).verify([public], 1)
        raise SystemExit("a changed statement was verified")
    except VerificationError:
        pass
    agreed("in-toto-attestation", f"{name} is {statement['predicateType']}")
    agreed("securesystemslib", f"{name} is signed with the ledger's key")
    return statement


def provenance():
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance

    envelope("provenance", Provenance)


def test_result():
    from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult

    predicate = envelope("test-result", TestResult)["predicate"]
    assert predicate["result"] == ("FAILED" if predicate["failedTests"] else "PASSED"), predicate
    assert predicate["passedTests"], predicate


def model_card():
    from huggingface_hub import ModelCard

    text = (folder / "model-card").read_text()
    card = ModelCard(text)
    assert card.data.model_name == "income", card.data
    results = {result.metric_name: result for result in card.data.eval_results}
    assert 0.5 < results["roc-auc"].metric_value < 1, results["roc-auc"]
    assert results["roc-auc"].task_type == "tabular-classification"
    again = ModelCard(str(card)).data.eval_results
    assert sorted(map(str, again)) == sorted(map(str, card.data.eval_results))
    agreed("huggingface_hub", f"model-card has {len(results)} results")


bill_of_materials()
provenance()
test_result()
model_card()
