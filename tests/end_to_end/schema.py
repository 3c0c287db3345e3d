"""The JSON Schema of specs, judged by an independent validator and compared with what the reader takes.

In: the executable, the source tree, a folder to write in. Out: lines `ok NAME`, `not ok NAME: why`; exit 1 if any is not.
"""
import glob
import json
import subprocess
import sys

import jsonschema
import yaml

anlage, root, work = sys.argv[1:]
failures = 0


def verdict(name, wrong):
    global failures
    failures += bool(wrong)
    print(f"not ok {name}: {wrong}" if wrong else f"ok {name}")


schema = json.loads(subprocess.run([anlage, "schema"], check=True, capture_output=True).stdout)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)


def problems(path):
    with open(path, encoding="utf-8") as file:
        return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator.iter_errors(yaml.safe_load(file))]


# ---- what is right fits, what is wrong does not ----
good = sorted(glob.glob(f"{root}/specs/*/*.yaml") + glob.glob(f"{root}/tests/specs/accepted/*.yaml"))
verdict(f"{len(good)} accepted specs fit the schema", len(good) < 15 or [p + " " + q[0] for p in good for q in [problems(p)] if q])
bad = {  # of the rejected specs those whose fault is one of keys or kinds, and a word of the report
    "unknown_key": "wieght", "unknown_section": "modues", "unknown_measure": "auc_roc", "unknown_weight_kind": "biass",
    "missing_returns": "returns", "missing_init": "init", "repeat_without_steps": "steps", "step_arguments": "replicate",
    "step_not_indented": "too many", "missing_unit": "train/length", "empty_value": "graph/scores", "future_version": "anlage",
    "space_group": "~volume", "no_version": "anlage", "not_a_mapping": "object", "unquoted_expression": "over=all"}
for name, word in bad.items():
    found = problems(f"{root}/tests/specs/rejected/{name}.yaml")
    verdict(f"{name}.yaml does not fit", not any(word in p for p in found) and (found or "it does"))

# ---- the same keys in the reader and in the schema: a spec with all of them and one unknown key in each mapping ----
places = {}


def sample(s, path):
    if "$ref" in s:
        s = schema["definitions"][s["$ref"].rsplit("/", 1)[1]]
        if path.count("repeat"):
            return "relu"
        return {"repeat": sample(s["properties"]["repeat"], path + ["repeat"])}
    types = s.get("type", [])
    if s.get("properties") or isinstance(s.get("additionalProperties"), dict):
        made = {key: sample(value, path + [key]) for key, value in s.get("properties", {}).items()}
        if isinstance(s["additionalProperties"], dict):
            made["own"] = sample(s["additionalProperties"], path + ["own"])
        else:
            key = f"zzz{len(places)}"
            places[key] = ("/".join(path), set(made))
            made[key] = 1
        return made
    if "enum" in s:
        return s["enum"][0]
    if "array" in types and s["items"]:
        return [sample(s["items"], path + ["-"])] * s.get("minItems", 1)
    if "array" in types and "string" not in types:
        return [0, 1]
    return s.get("examples", ["a"])[0]


spec = sample(schema, [])
with open(f"{work}/all.yaml", "w", encoding="utf-8") as file:
    yaml.safe_dump(spec, file, sort_keys=False)
report = json.loads(subprocess.run([anlage, "lint", "--format", "json", f"{work}/all.yaml"], capture_output=True).stdout)
unknown = [d for d in report["diagnostics"] if d["name"] == "unknown_key"]
told = {d["message"].split("`")[1]: d for d in unknown}
verdict("the reader takes every key of the schema", sorted(set(told) - set(places)))
verdict(f"both know the mappings ({len(places)})", len(places) < 18 or [places[k][0] for k in places if k not in told])
for key, (path, keys) in places.items():
    if key in told:
        known = set(told[key]["notes"][0].replace("known keys:", "").replace("`", "").replace(" ", "").split(","))
        if known != keys:
            verdict(f"keys of /{path}", f"the reader has {sorted(known)}, the schema {sorted(keys)}")
refused = [e for e in validator.iter_errors(spec) if "zzz" in e.message]
verdict("the schema refuses unknown keys in every mapping", len(refused) != len(places) and f"{len(refused)} of {len(places)}")

# ---- operations are completed as steps, with their documentation ----
listed = subprocess.run([anlage, "ops"], check=True, capture_output=True, text=True).stdout
names = {line.strip().split("(")[0] for line in listed.splitlines() if line.startswith("  ") and "(" in line and line[2] != " "}
steps = schema["definitions"]["step"]["properties"]
verdict("every operation is a step with its documentation",
        len(names) < 45 or names ^ (set(steps) - {"repeat"}) or [n for n in steps if len(steps[n]["description"]) < 20])
undocumented = []


def look(s, path):
    if isinstance(s, dict):
        for key, value in s.get("properties", {}).items():
            if not value.get("description"):
                undocumented.append(path + "/" + key)
        for key, value in s.items():
            look(value, path + "/" + key)


look(schema, "")
verdict("every key is documented", undocumented)
sys.exit(failures > 0)
