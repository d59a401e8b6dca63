// What people do in the console, one flow after the other, from the first start to the last account.
'use strict';

const crypto = require('crypto');

const PASSWORD = 'still water runs deep';

// The code that an authenticator shows (RFC 6238), of a secret in base 32.
function totp(secret, at = Date.now()) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let bits = '';
  for (const letter of secret.replace(/\s/g, '')) bits += alphabet.indexOf(letter).toString(2).padStart(5, '0');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30000)));
  const mac = crypto.createHmac('sha1', key).update(counter).digest();
  const from = mac[19] & 15;
  return String((mac.readUInt32BE(from) & 0x7fffffff) % 1000000).padStart(6, '0');
}

async function walk({ given, person, look, complaints }) {
  const expect = async (tab, what, text) => {
    const body = await tab.textContent('body');
    if (!body.includes(text)) complaints.push(`${what}: ${tab.url()} does not say ${JSON.stringify(text)}`);
  };
  const button = (tab, name) => tab.getByRole('button', { name, exact: false }).first();
  const send = (records) => fetch(`${given.url}/track`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(records),
  });
  const signIn = async (tab, email, password) => {
    await tab.goto('/console/sign-in');
    await tab.fill('#email', email);
    await tab.fill('#password', password);
    await button(tab, 'Sign in').click();
  };

  // First run.
  const ada = await person();
  await ada.goto('/console');
  await look(ada, 'sign-in');
  await ada.goto(`/console/setup?code=${given.setup}`);
  await look(ada, 'setup');
  await ada.fill('#organisation', 'Analytical Engines');
  await ada.fill('#name', 'Ada Lovelace');
  await ada.fill('#email', 'ada@example.com');
  await ada.fill('#password', PASSWORD);
  await ada.fill('#again', 'something else');
  await button(ada, 'Set up').click();
  await expect(ada, 'two different passwords', 'not the same');
  await ada.fill('#password', PASSWORD);
  await ada.fill('#again', PASSWORD);
  await button(ada, 'Set up').click();
  await expect(ada, 'first run', 'Your server is set up');
  await look(ada, 'projects');
  await ada.goto(`/console/setup?code=${given.setup}`);
  await expect(ada, 'the link works once', 'This link was used');
  await look(ada, 'error-used-link');

  // A project: the light, the first event, what was rejected.
  await ada.goto('/console/projects');
  await ada.locator('a.card').first().click();
  await expect(ada, 'no event yet', 'Waiting for the first event');
  await look(ada, 'project-waiting');
  const project = ada.url();
  const token = await ada.textContent('#token');
  await send([{ event: 'Signed up', properties: { token, distinct_id: 'u-1', plan: '<script>alert(1)</script>' } }]);
  await ada.getByText('Events arrive.').waitFor();
  for (let i = 0; i < 12; i += 1) {
    await send([{ event: i % 3 ? 'Page viewed' : 'Order completed', properties: { token, distinct_id: `u-${i}`, amount: i } }]);
  }
  await send([{ event: '', properties: { token, distinct_id: 'u-2' } }, { properties: { token } }]);
  await send([{ event: 'Lost', properties: { token: 'nobodys-token-1', distinct_id: 'u-3' } }]);
  await new Promise((resolve) => setTimeout(resolve, 2500));
  await ada.goto(project);
  await look(ada, 'project');
  await ada.goto(`${project}/rejected`);
  await look(ada, 'rejected');

  // By keyboard alone: the first key leads past the navigation, and where one is can be seen.
  await ada.goto('/console/me');
  await ada.keyboard.press('Tab');
  const skip = await ada.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    const { top, left } = document.activeElement.getBoundingClientRect();
    return { is: document.activeElement.className, seen: top >= 0 && left >= 0, outline: `${outlineStyle} ${outlineWidth}` };
  });
  if (skip.is !== 'skip' || !skip.seen || skip.outline.startsWith('none')) complaints.push(`the first key leads to ${JSON.stringify(skip)}`);
  await ada.keyboard.press('Enter');
  await ada.keyboard.press('Tab');
  const first = await ada.evaluate(() => document.activeElement.id);
  if (first !== 'name') complaints.push(`past the navigation the first field is ${JSON.stringify(first)}`);

  // One's own settings.
  await ada.goto('/console/me');
  await look(ada, 'profile');
  await ada.fill('#name', 'Ada <b>King</b>');
  await button(ada, 'Save').click();
  await expect(ada, 'another name', 'Ada <b>King</b>');
  await ada.fill('#name', 'Ada Lovelace');
  await button(ada, 'Save').click();
  await ada.goto('/console/me/password');
  await look(ada, 'password');
  await ada.goto('/console/me/second-factor');
  await look(ada, 'second-factor-off');
  await ada.fill('#current', 'wrong password');
  await button(ada, 'Set it up').click();
  await expect(ada, 'a wrong password', 'not the password');
  await ada.fill('#current', PASSWORD);
  await button(ada, 'Set it up').click();
  await look(ada, 'second-factor-begin');
  const secret = await ada.textContent('code.secret');
  await ada.fill('#code', '000000');
  await button(ada, 'Switch it on').click();
  await look(ada, 'second-factor-wrong-code');
  await ada.fill('#code', totp(secret));
  await button(ada, 'Switch it on').click();
  await look(ada, 'recovery-codes');
  const recovery = await ada.locator('#list li').first().textContent();
  await ada.goto('/console/me/second-factor');
  await look(ada, 'second-factor-on');

  // Signing out and in, with password, then code.
  await button(ada, 'Sign out').click();
  await expect(ada, 'signed out', 'You are signed out');
  await signIn(ada, 'ada@example.com', 'not it at all');
  await expect(ada, 'a wrong password', 'do not belong together');
  await look(ada, 'sign-in-wrong');
  await signIn(ada, 'ada@example.com', PASSWORD);
  await look(ada, 'sign-in-code');
  await ada.fill('#code', recovery);
  await button(ada, 'Go on').click();
  await expect(ada, 'in by a recovery code', 'Projects');
  await ada.goto('/console/me/sessions');
  await look(ada, 'sessions');
  const zoned = /\d\d:\d\d (CET|CEST) \((\d{4}-\d\d-\d\d )?\d\d:\d\d UTC\)/;
  if (!zoned.test(await ada.textContent('main'))) complaints.push('times outside projects are not in the browser\'s zone');

  // The organisation, and somebody else in it.
  await ada.goto('/console/organisations');
  await look(ada, 'organisations');
  await ada.getByRole('link', { name: 'Analytical Engines' }).click();
  const organisation = ada.url();
  await look(ada, 'organisation');
  await ada.goto(`${organisation}/members`);
  await ada.fill('#email', 'grace@example.com');
  await button(ada, 'Make a link').click();
  await look(ada, 'invited');
  const link = await ada.textContent('#link');
  await ada.goto(`${organisation}/members`);
  await look(ada, 'members');
  const grace = await person();
  await grace.goto(link.replace(/^https?:\/\/[^/]+/, ''));
  await look(grace, 'invitation');
  await grace.fill('#name', 'Grace Hopper');
  await grace.fill('#password', PASSWORD);
  await grace.fill('#again', PASSWORD);
  await button(grace, 'Join').click();
  await expect(grace, 'joined', 'You joined the organisation');
  const answer = await grace.goto(project);
  if (answer.status() !== 404) complaints.push(`a member sees a project that is not shared: ${answer.status()}`);
  await look(grace, 'error-not-found');

  // Without scripts: signing in, a form, and an act that asks for a name, whose button then waits for nothing.
  const plain = await person({ javaScriptEnabled: false });
  await signIn(plain, 'grace@example.com', PASSWORD);
  await plain.goto('/console/me');
  await plain.fill('#name', 'Rear Admiral Grace Hopper');
  await button(plain, 'Save').click();
  await expect(plain, 'a form without scripts', 'Rear Admiral Grace Hopper');
  await expect(plain, 'times without scripts', ' UTC.');
  await plain.goto('/console/me/delete');
  await plain.fill('#current', PASSWORD);
  await plain.fill('#typed', 'somebody@example.com');
  await button(plain, 'Delete my account').click();
  await expect(plain, 'a name that is another', 'Nothing was changed');

  // A dangerous act: its page asks for the password where it needs one, and for a name in any case.
  const confirmed = async (tab, word, name) => {
    if (await tab.locator('#current').count()) await tab.fill('#current', PASSWORD);
    await tab.fill('#typed', word);
    await button(tab, name).click();
  };
  const handy = await person();
  await signIn(handy, 'grace@example.com', PASSWORD);
  const all = {
    given, ada, grace, handy, project, organisation, token, look, expect, button, confirmed, signIn, complaints, PASSWORD,
  };
  const people = require('./flows_people.js');
  await people.begin(all);
  await require('./flows_admin.js').walk(all);
  await people.finish(all);

  // Leaving, with the organisation handed over.
  await ada.goto('/console/me/delete');
  await look(ada, 'delete-account');
  await ada.fill('#current', PASSWORD);
  await ada.fill('#typed', 'ada@example.com');
  await button(ada, 'Delete my account').click();
  await expect(ada, 'deleted', 'Your account was deleted');
  await grace.goto(`${organisation}/members`);
  await expect(grace, 'handed over', 'owner');
}

module.exports = { walk };
