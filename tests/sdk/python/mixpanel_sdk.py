"""Uses PyPI mixpanel against a collector and prints what it believes delivered.

usage: mixpanel_sdk.py {"url":…, "token":…, "secret":…, "username":…, "account_secret":…, "project_id":…}

Prints {"events": […], "people": […], "groups": […], "errors": […]}: the messages for which the SDK's consumer returned
without an exception, and the exceptions of those that it must not believe delivered.
"""
import datetime, json, logging, sys, time

import mixpanel

logging.disable(logging.WARNING)  # the SDK's deprecation notices
given = json.loads(sys.argv[1])
delivered = {"events": [], "people": [], "groups": [], "errors": []}


class Recording(mixpanel.Consumer):
    """Keeps every message that the real consumer took for delivered."""

    def send(self, endpoint, json_message, api_key=None, api_secret=None):
        super().send(endpoint, json_message, api_key, api_secret)
        message = json.loads(json_message)
        batch = message if isinstance(message, list) else [message]
        delivered["events" if endpoint == "imports" else endpoint].extend(batch)


def urls():
    return {key + "_url": given["url"] + path for key, path in
            [("events", "/track"), ("people", "/engage"), ("groups", "/groups"), ("import", "/import")]}


def buffered(size):
    consumer = mixpanel.BufferedConsumer(max_size=size, **urls())
    consumer._consumer = Recording(**urls())
    return consumer


def refused(what, call):
    try:
        call()
    except mixpanel.MixpanelException as e:
        delivered["errors"].append("%s: %s" % (what, e))


single = mixpanel.Mixpanel(given["token"], consumer=Recording(**urls()))
single.track("user-1", "Plain", {"n": 1})
single.track(42, "Numeric id")
single.track("user-ü", "Odd ✓", {
    "emoji": "🚀", "lone": "\ud83d", "nul": "\0", "form": "a+b c&d=e;f%20g", "html": "</script>", "": "empty key",
    "big": 2 ** 70, "tiny": 5e-324, "huge": 1e308, "nested": {"token": "not this one", "list": [1, None, True, {"a": []}]},
    "when": datetime.datetime(2026, 1, 2, 3, 4, 5), "long": "x" * 5000})
single.track("user-1", "With meta", {"n": 2}, meta={"extra": {"sibling": True}})
single.track("user-1", "Own time", {"time": int(time.time()) - 3600, "$insert_id": "own-insert-id-1"})
refused("NaN", lambda: single.track("user-1", "Not JSON", {"n": float("nan")}))
refused("no credential", lambda: single.import_data(None, "user-1", "No credential", 1700000000))
single.import_data(None, "user-2", "Imported by secret", 1700000000, {"n": 3}, api_secret=given["secret"])
single.merge(None, "user-1", "user-2", api_secret=given["secret"])

account = mixpanel.ServiceAccountCredentials(given["username"], given["account_secret"], str(given["project_id"]))
by_account = mixpanel.Mixpanel(given["token"], consumer=Recording(credentials=account, **urls()))
by_account.import_data(None, "user-3", "Imported by account", 1700000001.5, {"n": 4})

single.people_set("user-1", {"$name": "Zoë 🚀", "plan": "pro"})
single.people_set_once("user-1", {"first": datetime.date(2026, 1, 2).isoformat()})
single.people_increment("user-1", {"visits": 1})
single.people_append("user-1", {"seen": "a"})
single.people_union("user-1", {"seen": ["a", "b"]})
single.people_remove("user-1", {"seen": "b"})
single.people_unset("user-1", ["plan"])
single.people_track_charge("user-1", 9.99)
single.people_clear_charges("user-1")
single.people_delete("user-1", meta={"$ignore_alias": True})
single.group_set("company", "acme", {"seats": 3})
single.group_set_once("company", "acme", {"since": 2026})
single.group_union("company", "acme", {"tags": ["x"]})
single.group_unset("company", "acme", ["seats"])
single.group_remove("company", "acme", {"tags": "x"})
single.group_delete("company", 7)

consumer = buffered(50)
many = mixpanel.Mixpanel(given["token"], consumer=consumer)
for i in range(120):
    many.track("user-%d" % (i % 7), "Buffered", {"n": i, "text": "🚀 %d" % i})
    many.people_set("user-%d" % (i % 7), {"last": i})
for i in range(60):
    many.import_data(None, "user-%d" % i, "Buffered import", 1690000000 + i, api_secret=given["secret"])
consumer.flush()

json.dump(delivered, sys.stdout)
