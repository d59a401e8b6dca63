// Walks through every page and flow of the console in Debian's Chromium, as people would, at the width of a desk by day and
// of a phone by night. Of every page it keeps pictures, and asks axe-core what stands in somebody's way.
//
// usage: walk.js {"url":"http://127.0.0.1:PORT","setup":CODE,"pictures":DIRECTORY,"messages":URL OF WHAT PEOPLE WERE SENT}
//
// Prints {"pages":[NAME…],"complaints":[…],"asked":["METHOD PATH STATUS"…],"looked":["METHOD PATH"…]}: what was seen, all that
// was wrong on the way, what browsers asked the server for, and the addresses of the pages that were looked at.
'use strict';

const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const flows = require('./flows.js');

const given = JSON.parse(process.argv[2]);

const VIEWS = [
  { name: 'desk', viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  { name: 'phone', viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
];

async function main() {
  fs.mkdirSync(given.pictures, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  const complaints = [];
  const pages = [];
  const asked = new Set();
  const looked = new Set();
  // What each tab shows: the method, address and status of its last document.
  const shown = new WeakMap();

  // A browser of somebody's own, which tells of everything that goes wrong in it.
  const person = async (options = {}) => {
    const context = await browser.newContext({ baseURL: given.url, timezoneId: 'Europe/Vienna', ...options });
    context.setDefaultTimeout(20000);
    const tab = await context.newPage();
    tab.on('pageerror', (error) => complaints.push(`${tab.url()}: ${error}`));
    tab.on('console', (message) => {
      // A page that refuses says so by its status, and Chromium repeats it.
      if (message.type() === 'error' && !/status of 4\d\d|status of 500/.test(message.text())) {
        complaints.push(`${tab.url()}: ${message.text()}`);
      }
    });
    tab.on('response', (response) => {
      const request = response.request();
      const said = `${request.method()} ${new URL(response.url()).pathname}`;
      asked.add(`${said} ${response.status()}`);
      const isPage = request.isNavigationRequest() && (response.headers()['content-type'] || '').startsWith('text/html');
      if (isPage) shown.set(tab, { said, status: response.status() });
    });
    return tab;
  };

  // Looks at the page as it stands: pictures, axe, and nothing wider than the screen.
  const look = async (tab, name) => {
    await tab.waitForLoadState();
    const number = String(pages.length + 1).padStart(2, '0');
    pages.push(name);
    const here = shown.get(tab);
    if (here && here.status < 400) looked.add(here.said);
    for (const view of VIEWS) {
      await tab.emulateMedia({ colorScheme: view.colorScheme });
      await tab.setViewportSize(view.viewport);
      const file = path.join(given.pictures, `${number}-${name}-${view.name}.png`);
      await tab.screenshot({ path: file, fullPage: true, animations: 'disabled' });
      const over = await tab.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (over > 0) complaints.push(`${name} (${view.name}): ${over} pixels wider than the screen`);
      // Once a page: it is half a megabyte.
      if (!(await tab.evaluate(() => Boolean(window.axe)))) await tab.evaluate(axe.source);
      const found = await tab.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
      for (const violation of found.violations) {
        if (!['serious', 'critical', 'moderate'].includes(violation.impact)) continue;
        const where = violation.nodes.map((node) => node.target.join(' ')).slice(0, 5).join('; ');
        complaints.push(`${name} (${view.name}): ${violation.impact}: ${violation.id}: ${violation.help}: ${where}`);
      }
    }
    await tab.setViewportSize(VIEWS[0].viewport);
    await tab.emulateMedia({ colorScheme: 'light' });
  };

  try {
    await flows.walk({ given, person, look, complaints });
    process.stdout.write(JSON.stringify({ pages, complaints, asked: [...asked], looked: [...looked] }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
