// Uses npm mixpanel against a collector and prints what it believes delivered.
//
// usage: mixpanel_sdk.js {"host":"127.0.0.1:PORT","token":…,"api_key":…,"verbose":true|false}
//
// Prints {"events":[…],"people":[…],"groups":[…],"errors":[…]}: the data of the requests whose callback came without an
// error, and the errors of those that the SDK must not believe delivered.
'use strict';

const Mixpanel = require('mixpanel');

const given = JSON.parse(process.argv[2]);
const delivered = { events: [], people: [], groups: [], errors: [] };
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };
const client = Mixpanel.init(given.token, {
  host: given.host, protocol: 'http', verbose: given.verbose, key: given.api_key, logger: silent,
});

// Every call goes through send_request: what it hands over and how its callback ends is what the SDK believes.
const kinds = { '/track': 'events', '/import': 'events', '/engage': 'people', '/groups': 'groups' };
let open = 0;
const send = client.send_request;
client.send_request = function (options, callback) {
  const data = JSON.parse(JSON.stringify(options.data));
  open += 1;
  send.call(client, options, (error) => {
    open -= 1;
    if (error) delivered.errors.push(`${options.endpoint}: ${error.message}`);
    else delivered[kinds[options.endpoint]].push(...(Array.isArray(data) ? data : [data]));
    if (callback) callback(error);
  });
};

client.track('Plain', { distinct_id: 'user-1', n: 1 });
client.track('No properties');
client.track('Odd ✓', {
  distinct_id: 'user-ü', emoji: '🚀', lone: '\ud83d', nul: '\0', form: 'a+b c&d=e;f%20g?>~', big: 9007199254740993,
  tiny: 5e-324, nested: { token: 'not this one', list: [1, null, true, { a: [] }] }, '': 'empty key',
});
client.track('Own time', { distinct_id: 'user-1', time: new Date() });
client.track('Own time in seconds', { distinct_id: 'user-1', time: Math.floor(Date.now() / 1000) - 60 });
client.track('Long', { distinct_id: 'user-1', text: 'x'.repeat(6000) });
client.track('', { distinct_id: 'user-1', refused: true });
client.import('Imported', new Date(1700000000000), { distinct_id: 'user-2', n: 2 });
client.alias('user-1', 'user-one');

const batch = (name, count, more) => Array.from({ length: count }, (_, i) => (
  { event: name, properties: { distinct_id: `user-${i % 7}`, n: i, text: `🚀 >>>???~~~ ${i}`, ...more(i) } }));
client.track_batch(batch('Batched', 120, (i) => (i % 2 ? {} : { time: Date.now() - i })));
client.import_batch(batch('Batched import', 120, (i) => ({ time: 1700000000 + i, $insert_id: `node-${i}` })),
  { max_batch_size: 50, max_concurrent_requests: 2 });

client.people.set('user-1', { $name: 'Zoë 🚀', plan: 'pro' });
client.people.set_once('user-1', 'first', 'yes');
client.people.increment('user-1', { visits: 2 });
client.people.append('user-1', { seen: 'a' });
client.people.union('user-1', { seen: ['a', 'b'] });
client.people.remove('user-1', { seen: 'b' });
client.people.unset('user-1', 'plan');
client.people.track_charge('user-1', 9.99);
client.people.clear_charges('user-1');
client.people.delete_user('user-1', { $ignore_alias: true });
client.groups.set('company', 'acme', { seats: 3 });
client.groups.set_once('company', 'acme', 'since', 2026);
client.groups.union('company', 'acme', { tags: ['x'] });
client.groups.remove('company', 'acme', { tags: 'x' });
client.groups.unset('company', 'acme', 'seats');
client.groups.delete_group('company', 'acme');

// All requests are under way by now or follow from a callback of one that is.
const timer = setInterval(() => {
  if (open > 0) return;
  clearInterval(timer);
  process.stdout.write(JSON.stringify(delivered), () => process.exit(0));
}, 20);
