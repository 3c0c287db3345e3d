"""Reports of the linter for programs: the documented JSON, and SARIF.

In: the executable, the source tree, a folder to write in, a JSON Schema of SARIF. Out: lines `ok NAME`, `not ok NAME: why`; exit 1 if any is not.
"""
import json
import re
import subprocess
import sys

import jsonschema

anlage, root, work, schema_file = sys.argv[1:]
failures = 0


def verdict(name, wrong):
    global failures
    failures += bool(wrong)
    print(f"not ok {name}: {wrong}" if wrong else f"ok {name}")


def report(form, *paths, cwd=None):
    return subprocess.run([anlage, "lint", "--format", form, *paths], capture_output=True, text=True, cwd=cwd).stdout


# ---- JSON: the example of the documentation, and every key in it described ----
with open(f"{root}/specs/README.md", encoding="utf-8") as file:
    section = file.read().split("## Reports for programs")[1].split("\n## ")[0]
spec, = re.findall(r"```yaml\n(.*?)```", section, re.S)
promised, = re.findall(r"```json\n(.*?)```", section, re.S)
with open(f"{work}/spec.yaml", "w", encoding="utf-8") as file:
    file.write(spec)
given = report("json", "spec.yaml", cwd=work)
verdict("the JSON of the documentation is what is written", given != promised and given)


def keys(value):
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in keys(v)}
    return {k for v in value for k in keys(v)} if isinstance(value, list) else set()


everything = json.loads(report("json", f"{root}/tests/specs/rejected", f"{root}/tests/specs/warned"))
undocumented = sorted(k for k in keys(everything) if f"`{k}`" not in section)
verdict("every key of the JSON is documented", undocumented)
of_severity = {s: sum(d["severity"] == s for d in everything["diagnostics"]) for s in ("error", "warning")}
verdict("the JSON counts what it holds", everything["errors"] != of_severity["error"] or everything["warnings"] != of_severity["warning"] or not of_severity["warning"])

# ---- accounts: every key of `anlage explain --format json` is described ----
with open(f"{root}/specs/README.md", encoding="utf-8") as file:
    section = file.read().split("## Accounts for programs")[1].split("\n## ")[0]
swav, bench = f"{root}/specs/pretrain/swav.yaml", f"{root}/specs/pretrain/bench.yaml"
for name, *arguments in (("an account", swav), ("a judged account", swav, "--assume", "memory=1GiB"), ("a comparison", swav, bench)):
    account = json.loads(subprocess.run([anlage, "explain", *arguments, "--format", "json"], capture_output=True, text=True).stdout)
    verdict(f"every key of {name} is documented", sorted(k for k in keys(account) if f"`{k}`" not in section) or account["version"] != 1)

# ---- SARIF ----
with open(schema_file, encoding="utf-8") as file:
    schema = json.load(file)
kind = jsonschema.validators.validator_for(schema)
kind.check_schema(schema)
log = json.loads(report("sarif", f"{root}/tests/specs/rejected", f"{root}/tests/specs/warned"))
wrong = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in kind(schema).iter_errors(log)]
verdict("SARIF fits its schema", wrong[:5])
run, = log["runs"]
verdict("SARIF has every diagnostic", len(run["results"]) != len(everything["diagnostics"]) or len(run["results"]) < 80)
known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
verdict("SARIF describes the rules of its results", sorted({r["ruleId"] for r in run["results"]} ^ known))
verdict("SARIF has the fixes", not any("fixes" in r for r in run["results"]))
empty = json.loads(report("sarif", f"{root}/tests/specs/parts/small.yaml"))
verdict("SARIF without results fits, too", [e.message for e in kind(schema).iter_errors(empty)] or empty["runs"][0]["results"])
sys.exit(failures > 0)
