"""openapi.yaml and the binary say the same."""

import subprocess

import jsonschema
import pytest
import yaml

from conftest import ROOT, SPEC, resolve


def table(binary, option):
    text = subprocess.run([binary, "serve", option], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in text.splitlines()]


def operations():
    return [(method.upper(), path, operation) for path, item in SPEC["paths"].items()
            for method, operation in item.items()]


def test_routes(binary):
    described = set()
    for method, path, operation in operations():
        query = sorted(p["name"] for p in map(resolve, operation.get("parameters", []))
                       if p["in"] == "query")
        accepts = sorted(operation.get("requestBody", {}).get("content", {}))
        scopes = [scheme["key"][0] for scheme in operation.get("security", [])]
        described.add((method, path, operation["operationId"], tuple(accepts), tuple(query), tuple(scopes)))
    served = {(method, path, name, tuple(sorted(a for a in accepts.split(", ") if a)),
               tuple(sorted(query.split())), tuple(scopes.split()))
              for method, path, name, accepts, query, scopes in table(binary, "--routes")}
    assert served == described


def test_problems(binary):
    assert {(int(status), code, title) for status, code, title in table(binary, "--problems")} == {
        (p["status"], code, p["title"]) for code, p in SPEC["components"]["x-problems"].items()}


def test_schemas_are_schemas():
    for schema in SPEC["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_references():
    def walk(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                resolve(node)
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)
    walk(SPEC)


def test_operation_ids_are_unique():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_served_description(server):
    answer = server.get("/openapi.yaml")
    assert answer.body == (ROOT / "openapi.yaml").read_bytes()
    assert yaml.safe_load(answer.body) == SPEC


@pytest.mark.parametrize("method,path", [(m, p) for m, p, _ in operations() if "{" not in p])
def test_options(server, method, path):
    answer = server.ask("OPTIONS", path)
    assert answer.status == 204
    allowed = answer.headers["Allow"].split(", ")
    assert method in allowed and "OPTIONS" in allowed
    assert ("HEAD" in allowed) == ("GET" in allowed)
    wrong = server.ask("DELETE", path)
    wrong.problem(405, "method_not_allowed")
    assert wrong.headers["Allow"] == answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/v1/pairs", "/v1/scores", "/openapi.yaml"])
def test_head(server, path):
    head, got = server.ask("HEAD", path), server.get(path)
    assert head.status == got.status == 200
    assert head.body == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
