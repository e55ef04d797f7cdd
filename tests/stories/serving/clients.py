"""Asks a model through the clients of others: clients.py URL. The model `echo` returns its column `x` as `score`."""

import asyncio
import sys

import numpy
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
from kserve import InferInput, InferRequest, InferenceRESTClient, RESTConfig

url = sys.argv[1]
values = numpy.array([0.5, -1.25, 3e300])

client = triton.InferenceServerClient(url.removeprefix("http://"))
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("echo")
assert client.is_model_ready("echo", "1")
metadata = client.get_model_metadata("echo")
assert [(tensor["name"], tensor["datatype"]) for tensor in metadata["inputs"]] == [("x", "FP64")]
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
for binary_in in (True, False):
    for binary_out in (True, False):
        tensor = triton.InferInput("x", [3], "FP64")
        tensor.set_data_from_numpy(values, binary_data=binary_in)
        outputs = [triton.InferRequestedOutput("score", binary_data=binary_out)]
        answer = client.infer("echo", [tensor], outputs=outputs, request_id="7")
        assert (answer.as_numpy("score") == values).all(), answer.get_response()
        assert answer.get_response()["id"] == "7"
tensor = triton.InferInput("x", [3], "FP64")
tensor.set_data_from_numpy(values)
assert (client.infer("echo", [tensor]).as_numpy("score") == values).all()
try:
    client.infer("nobody", [tensor])
    raise SystemExit("an endpoint that is not there must be refused")
except InferenceServerException as error:
    assert "there is no endpoint `nobody`" in str(error), error


async def kserve() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "echo")
    tensor = InferInput("x", [3], "FP64")
    tensor.set_data_from_numpy(values, binary_data=False)
    answer = await client.infer(url, InferRequest(model_name="echo", infer_inputs=[tensor]), model_name="echo")
    assert answer.outputs[0].name == "score" and (answer.outputs[0].as_numpy() == values).all(), answer
    tensor.set_data_from_numpy(values, binary_data=True)
    answer = await client.infer(url, InferRequest(model_name="echo", infer_inputs=[tensor]), model_name="echo")
    assert (answer.outputs[0].as_numpy() == values).all(), answer


asyncio.run(kserve())
print("agreed")
