"""Uses PyPI mixpanel-utils against a collector: imports, then exports again, and prints both.

usage: mixpanel_utils_sdk.py {"url":…, "token":…, "secret":…, "project_id":…, "username":… or null, "from":…, "to":…}

Prints {"events": […], "people": […], "exported": […], "exported_gzip": […], "exported_named": […], "exported_none": […],
…, "warnings": […]}. mixpanel-utils never raises: what it could not deliver, it logs, and that is `warnings`.
"""
import atexit, gzip, json, logging, os, sys, tempfile, time

import mixpanel_utils

given = json.loads(sys.argv[1])
folder = tempfile.TemporaryDirectory(prefix="forebay-utils-")
os.chdir(folder.name)  # it writes its backup files into the working directory
atexit.register(folder.cleanup)


class Warnings(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


warnings = Warnings()
mixpanel_utils.MixpanelUtils.LOGGER.addHandler(warnings)
utils = mixpanel_utils.MixpanelUtils(
    given["secret"], token=given["token"], service_account_username=given["username"],
    project_id=given["project_id"] if given["username"] else None, timeout=30)
utils.raw_api = utils.formatted_api = given["url"] + "/api"
utils.import_api = given["url"]

now = int(time.time())
events = [{"event": "Imported 🚀", "properties": {
    "time": now - i, "distinct_id": "user-%d" % (i % 11), "$insert_id": "utils-%d" % i, "n": i,
    "text": "zürich \u2028 %d" % i, "nested": {"list": [1, {"deep": None}]}}} for i in range(4500)]
utils.import_events(events, 0)

people = [{"$distinct_id": "user-%d" % i, "$properties": {"n": i, "$name": "Zoë 🚀"}} for i in range(2300)]
utils.import_people(people)
updates = [{"$token": given["token"], "$distinct_id": "user-1", "$append": {"seen": i}} for i in range(3)]
utils.import_people(updates, raw_record_import=True)

some = 'properties["n"] < 100 and properties["distinct_id"] == "user-3" and event["$event_name"] in ["Imported 🚀"]'
days = {"from_date": given["from"], "to_date": given["to"]}


def export(name, params, **options):
    utils.export_events(name, params, **options)
    with open(name, encoding="utf-8") as f:
        return json.load(f)


out = {
    "events": events, "people": people, "updates": updates,
    "exported": export("plain.json", dict(days)),
    "exported_gzip": export("gzip.json", dict(days), add_gzip_header=True),
    "exported_named": export("named.json", dict(days, event=["Imported 🚀", "Another"])),
    "exported_none": export("none.json", dict(days, event=["Nobody sent this"])),
    "exported_where": export("where.json", dict(days, where=some)),
    "exported_set": export("set.json", dict(days, where='(boolean(properties["n"]) == true)')),
    "exported_where_limit": export("where_limit.json", dict(days, where=some, limit=4)),
    "queried_where": utils.query_export(dict(days, where=some), add_gzip_header=True),
    "queried_none": utils.query_export(dict(days, where='properties["n"] < 0')),
    "expected_where": [e for e in events if e["properties"]["n"] < 100 and e["properties"]["n"] % 11 == 3],
}
utils.export_events("stream.json", dict(days, limit=10), raw_stream=True, add_gzip_header=True)
with gzip.open("stream.json.gz", "rt", encoding="utf-8") as f:
    out["streamed"] = [json.loads(line) for line in f]
utils.export_events("nothing.json", dict(days, event=["Nobody sent this"]), raw_stream=True, add_gzip_header=True)
with gzip.open("nothing.json.gz", "rb") as f:
    out["streamed_none"] = f.read().decode()
out["warnings"] = warnings.lines
json.dump(out, sys.stdout)
