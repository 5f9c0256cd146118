#!/usr/bin/python3
"""validate.py SCHEMA RECORD...: exits 1 and names what is wrong with a record by JSON Schema 2020-12."""
import json
import sys

import jsonschema


def constant(name):
    raise ValueError(f"{name} is no JSON")


with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
bad = 0
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as file:
        record = json.load(file, parse_constant=constant)
    for error in jsonschema.Draft202012Validator(schema).iter_errors(record):
        print(f"{path}: {error.json_path}: {error.message[:300]}")
        bad = 1
sys.exit(bad)
