"""What a service states of itself."""

from pathlib import Path

import pytest
from served import client_of
from starlette.testclient import TestClient

from evlora.errors import BundleError, RunError
from evlora.limits import limits
from evlora.serving.recognizers import open_shelf


def test_bundles_are_listed_by_name_and_the_first_is_the_default(
    client: TestClient, tiny_bundle: Path
) -> None:
    rows = client.get("/bundles").json()
    assert [row["name"] for row in rows] == [tiny_bundle.parent.name, "second"]
    assert [row["default"] for row in rows] == [True, False]
    assert rows[0]["labels"] == ["0", "1", "2"]
    assert rows[0]["modalities"] == ["rgb", "events"]
    assert (rows[0]["moments"], rows[0]["height"], rows[0]["width"]) == (2, 32, 32)


def test_bundles_over_one_backbone_share_its_memory(client: TestClient) -> None:
    first, second = client.app.state.service.shelf.served.values()
    places = [{p.data_ptr() for p in one.recognizer.parameters()} for one in (first, second)]
    assert places[0] & places[1]


def test_states_and_limits_are_answered(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    stated = client.get("/limits").json()
    assert stated["upload_bytes"] == limits().upload_bytes
    assert stated["seconds"] == limits().decoder_seconds


def test_metrics_count_requests_by_status(client: TestClient) -> None:
    client.post("/predict", files={"recording": ("a.exe", b"abc")})
    text = client.get("/metrics").text
    assert 'evlora_requests_total{bundle="",status="415"}' in text
    assert "evlora_live_streams 0.0" in text


def test_the_document_has_every_route_with_examples_and_faults(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    paths = {"/bundles", "/health", "/limits", "/metrics", "/predict", "/ready"}
    assert set(document["paths"]) == paths
    predict = document["paths"]["/predict"]["post"]
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"recording", "frames"}
    assert {"200", "401", "413", "415", "422", "429", "503", "507"} <= set(predict["responses"])
    schemas = document["components"]["schemas"]
    assert all(schemas[name].get("examples") for name in ("PredictAnswer", "BundleRow", "Fault"))


def test_the_routes_are_a_page_that_loads_nothing(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "POST /predict" in page
    assert "http" not in page.replace("HTTP", "")
    assert "<script" not in page


def test_an_unknown_path_and_a_wrong_method_are_one_sentence(client: TestClient) -> None:
    unknown = client.get("/nothing/../here")
    assert (unknown.status_code, set(unknown.json())) == (404, {"error"})
    for method in ("GET", "OPTIONS", "DELETE"):
        answer = client.request(method, "/predict")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert set(answer.json()) == {"error"}


def test_two_of_one_name_and_what_is_no_bundle_are_refused(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="two of 'a'"):
        open_shelf([f"a={tiny_bundle}", f"a={tiny_bundle}"])
    with pytest.raises(BundleError, match="no such folder"):
        open_shelf([tmp_path / "nothing"])


def test_requests_are_refused_after_the_service_has_ended(tiny_bundle: Path) -> None:
    with client_of(tiny_bundle) as client:
        assert client.get("/ready").status_code == 200
    assert client.get("/ready").status_code == 503
