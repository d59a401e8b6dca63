// Uses npm mixpanel-browser in Debian's Chromium, on a page of another origin, and prints what it believes delivered.
//
// usage: browser.js {"url":"http://127.0.0.1:PORT","token":…,"secret":…,"scenario":…}
//
// Prints {"events":[…],"people":[…],"groups":[…],"requests":[…]}: what the SDK's before_send hooks saw of all that it then
// took for delivered, and the requests that the browser made: method, path, content type, status.
'use strict';

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { chromium } = require('playwright-core');

const given = JSON.parse(process.argv[2]);
const sdk = fs.readFileSync(path.join(path.dirname(require.resolve('mixpanel-browser')), 'mixpanel.umd.js'));

// What each scenario configures, does, and waits for. `done` turns true in the page when the SDK believes all delivered.
const scenarios = {
  // The default: batches of a form with base64, XMLHttpRequest with credentials.
  form_batch: { config: {}, act: 'many(60); odd();', done: 'drained(62)' },
  json_batch: { config: { api_payload_format: 'json' }, act: 'many(60); odd();', done: 'drained(62)' },
  // One request an event, the callback says how it went.
  immediate: { config: { batch_requests: false }, act: 'each(5); oddEach();', done: 'called(6)' },
  get: { config: { batch_requests: false, api_method: 'GET' }, act: 'each(5); oddEach();', done: 'called(6)' },
  verbose: { config: { batch_requests: false, verbose: true }, act: 'each(3);', done: 'called(3)' },
  // An old browser: the answer is a script that calls back.
  jsonp: { config: { batch_requests: false }, before: 'delete window.XMLHttpRequest;', act: 'each(5);', done: 'called(5)' },
  // Fire and forget: the browser's own word that the request was made is all there is.
  img: { config: { batch_requests: false, img: true, api_method: 'GET' }, act: 'each(3);', done: 'images(3)' },
  beacon: { config: { batch_requests: false, api_transport: 'sendBeacon' }, act: 'each(3);', done: 'called(3)', answers: 3 },
  // The page goes away before the batch was due; the next page has no SDK.
  unload: { config: { batch_flush_interval_ms: 600000 }, act: 'many(7);', done: 'queued(7)', leave: true },
  profiles: { config: {}, act: 'profiles();', done: 'drained(11)' },
};
const scenario = scenarios[given.scenario];
if (!scenario) throw new Error(`no scenario ${given.scenario}; there are ${Object.keys(scenarios)}`);

// Runs in the page, after the SDK. What the hooks see is kept where the next page of this origin finds it.
const page = `
  const keep = (kind) => (data) => {
    const kept = JSON.parse(localStorage.getItem('kept') || '{"events":[],"people":[],"groups":[]}');
    kept[kind].push(JSON.parse(JSON.stringify(data)));
    localStorage.setItem('kept', JSON.stringify(kept));
    return data;
  };
  let calls = 0;
  const answered = (answer) => { if (answer === 1 || (answer && answer.status === 1)) calls += 1; };
  mixpanel.init(${JSON.stringify(given.token)}, {
    api_host: ${JSON.stringify(given.url)}, persistence: 'localStorage', batch_flush_interval_ms: 100, ignore_dnt: true,
    hooks: { before_send_events: keep('events'), before_send_people: keep('people'), before_send_groups: keep('groups') },
    ...${JSON.stringify(scenario.config)},
  });
  mixpanel.register({ plan: 'prö' });
  const many = (n) => { for (let i = 0; i < n; i++) mixpanel.track('Clicked', { n: i, text: 'a+b c&d=e 🚀 ' + i }); };
  const each = (n) => { for (let i = 0; i < n; i++) mixpanel.track('Clicked', { n: i, text: '🚀 ' + i }, {}, answered); };
  const oddities = { lone: '\\ud83d', nul: '\\0', cut: 'x'.repeat(254) + '🚀', '': 'empty key', nested: { token: 'not this' } };
  const odd = () => { mixpanel.identify('user-ü'); mixpanel.track('Odd ✓', oddities); };
  const oddEach = () => mixpanel.track('Odd ✓', oddities, {}, answered);
  const profiles = () => {
    mixpanel.identify('user-1');
    mixpanel.people.set({ $name: 'Zoë 🚀', plan: 'pro' });
    mixpanel.people.set_once('first', 1);
    mixpanel.people.increment('visits');
    mixpanel.people.append('seen', 'a');
    mixpanel.people.union('seen', ['a', 'b']);
    mixpanel.people.track_charge(9.99);
    mixpanel.people.delete_user();
    mixpanel.get_group('company', 'acme').set({ seats: 3 });
    mixpanel.get_group('company', 'acme').union('tags', ['x']);
    mixpanel.track_with_groups('Grouped', { n: 1 }, { company: 'acme' });
  };
  const queues = () => Object.keys(localStorage).filter((k) => /^__mpq_.*_(ev|pp|gr)$/.test(k)).map((k) => JSON.parse(localStorage.getItem(k)) || []);
  // The SDK queues one record after the other in turns of the event loop, so a queue may be empty before all were in it.
  const sent = () => Object.values(JSON.parse(localStorage.getItem('kept') || '{}')).reduce((sum, list) => sum + list.length, 0);
  const drained = (n) => sent() >= n && queues().every((q) => q.length === 0);
  const queued = (n) => queues().reduce((sum, q) => sum + q.length, 0) >= n;
  const called = (n) => calls >= n;
  const images = (n) => { const all = [...document.querySelectorAll('img')]; return all.length === n && all.every((i) => i.complete && i.naturalWidth > 0); };
  window.done = () => ${scenario.done};
  ${scenario.act}
`;

const html = (script) => `<!doctype html><meta charset="utf-8"><title>Shop</title><body><script>${script}</script>`;
const pages = {
  '/': html(`${scenario.before || ''}</script><script src="/sdk.js"></script><script src="/page.js">`),
  '/page.js': page,
  '/sdk.js': sdk,
  '/next': html(''),
};

async function exported() {
  const day = (offset) => new Date(Date.now() + offset * 86400000).toISOString().slice(0, 10);
  const answer = await fetch(`${given.url}/api/2.0/export?from_date=${day(-1)}&to_date=${day(0)}`, {
    headers: { Authorization: `Basic ${Buffer.from(`${given.secret}:`).toString('base64')}` },
  });
  return (await answer.text()).split('\n').filter((line) => line).length;
}

async function main() {
  const site = http.createServer((request, response) => {
    const body = pages[request.url.split('?')[0]];
    response.writeHead(body === undefined ? 404 : 200, {
      'Content-Type': request.url.endsWith('.js') ? 'text/javascript; charset=utf-8' : 'text/html; charset=utf-8',
    });
    response.end(body);
  });
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const origin = `http://localhost:${site.address().port}`;
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'forebay-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  try {
    const requests = [];
    const tab = await context.newPage();
    const complaints = [];
    tab.on('pageerror', (error) => complaints.push(String(error)));
    context.on('requestfailed', (r) => complaints.push(`${r.method()} ${r.url()}: ${r.failure().errorText}`));
    context.on('response', async (response) => {
      const request = response.request();
      if (!request.url().startsWith(given.url)) return;
      requests.push({
        method: request.method(), path: new URL(request.url()).pathname, type: request.headers()['content-type'] || null,
        kind: request.resourceType(), status: response.status(),
      });
    });
    const until = async (what, so) => {
      for (const end = Date.now() + 60000; !(await so());) {
        if (Date.now() > end) throw new Error(`not in time: ${what}; ${JSON.stringify({ requests, complaints })}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await tab.goto(origin + '/');
    if (complaints.length) throw new Error(complaints.join('\n'));
    await until(scenario.done, () => tab.evaluate(() => window.done()));
    if (scenario.answers) await until('all answers', () => requests.filter((r) => r.status === 200).length >= scenario.answers);
    if (scenario.leave) await tab.goto(origin + '/next');
    const kept = await tab.evaluate(() => JSON.parse(localStorage.getItem('kept')));
    // The beacons of a page that is gone belong to no tab: the driver does not see them, so ask the collector.
    if (scenario.leave) await until('all arrived', async () => (await exported()) >= kept.events.length);
    if (complaints.length) throw new Error(complaints.join('\n'));
    process.stdout.write(JSON.stringify({ ...kept, requests }));
  } finally {
    await context.close();
    site.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
