// What people do about themselves and each other: a phone as second factor, another address for notices, who belongs to an
// organisation and as what. Codes are sent half a minute apart, so this comes in two parts, with other flows in between.
'use strict';

const NUMBER = '+49 170 1234567';
const NOTICES = 'ops@example.org';

async function begin({ handy, ada, look, expect, button, PASSWORD }) {
  await handy.goto('/console/me/second-factor');
  await handy.fill('#number', NUMBER);
  await handy.fill('#current-phone', PASSWORD);
  await button(handy, 'Send a code').click();
  await expect(handy, 'a phone is begun', 'the phone that ends in 567');
  await look(handy, 'phone-begin');

  await ada.goto('/console/me/preferences');
  await ada.fill('#notice', NOTICES);
  await button(ada, 'Save').click();
  await expect(ada, 'an address to be confirmed', `Confirm ${NOTICES}`);
  await look(ada, 'preferences-to-confirm');
}

async function finish(all) {
  await phone(all);
  await notices(all);
  await oneself(all);
  await members(all);
}

// Waits until something was sent that fits, and gives what the pattern holds of the last.
async function sent(given, kind, text, pattern, than = 0) {
  for (let tries = 0; tries < 300; tries += 1) {
    const all = (await (await fetch(given.messages)).json())[kind].map(text).filter((one) => pattern.test(one));
    if (all.length > than) return { code: all.at(-1).match(pattern)[1], count: all.length };
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing like ${pattern} was sent`);
}

async function phone({ given, handy, look, expect, button, signIn, PASSWORD }) {
  const text = (than) => sent(given, 'texts', (one) => one, /sign in is (\d{6})/, than);
  const first = await text();
  await button(handy, 'Send another code').click();
  await look(handy, 'phone-sent-again');
  const again = await text(first.count);
  await handy.fill('#code', '000000' === again.code ? '000001' : '000000');
  await button(handy, 'Switch it on').click();
  await expect(handy, 'a wrong code', 'That code is not right');
  await handy.fill('#code', again.code);
  await button(handy, 'Switch it on').click();
  await expect(handy, 'a phone is on', 'Write these down');
  await handy.goto('/console/me/second-factor');
  await look(handy, 'second-factor-phone');
  await handy.fill('#current-codes', PASSWORD);
  await button(handy, 'Get new codes').click();
  await look(handy, 'recovery-codes-new');
  await button(handy, 'Sign out').click();
  await signIn(handy, 'grace@example.com', PASSWORD);
  await expect(handy, 'a code is sent at sign-in', 'A code was sent to the phone that ends in 567');
  await look(handy, 'sign-in-phone');
  const entered = await text(again.count);
  await button(handy, 'Send another code').click();
  await look(handy, 'sign-in-phone-again');
  await handy.fill('#code', entered.code);
  await button(handy, 'Go on').click();
  await expect(handy, 'in by a code that was sent', 'Projects');
  await handy.goto('/console/me/second-factor');
  await handy.fill('#current-off', PASSWORD);
  await button(handy, 'Switch it off').click();
  await expect(handy, 'off again', 'The second factor was switched off');
}

async function notices({ given, ada, look, expect, button }) {
  const mail = (than) => sent(given, 'mails', (one) => (one.to === NOTICES ? one.text : ''), /^\s*(\d{6})\s*$/m, than);
  const first = await mail();
  await ada.goto('/console/me/preferences');
  await button(ada, 'Send another code').click();
  await expect(ada, 'another code', 'A code is on its way');
  const { code } = await mail(first.count);
  await ada.fill('#code', code);
  await button(ada, 'Confirm').click();
  await expect(ada, 'the address for notices', 'The address is confirmed');
  await ada.goto('/console/messages');
  await expect(ada, 'messages to people', NOTICES);
  await look(ada, 'messages');
}

async function oneself({ ada, grace, expect, button, confirmed, signIn, PASSWORD }) {
  for (const email of ['lovelace@example.com', 'ada@example.com']) {
    await ada.goto('/console/me');
    await ada.fill('#email', email);
    await ada.fill('#current', PASSWORD);
    await button(ada, 'Change address').click();
    await expect(ada, 'another address', `You sign in with ${email}`);
  }
  await grace.goto('/console/me/password');
  const other = `${PASSWORD}, too`;
  await grace.fill('#current', PASSWORD);
  await grace.fill('#password', other);
  await grace.fill('#again', other);
  await button(grace, 'Change password').click();
  await expect(grace, 'another password', 'Your password was changed');
  await grace.fill('#current', other);
  await grace.fill('#password', PASSWORD);
  await grace.fill('#again', PASSWORD);
  await button(grace, 'Change password').click();
  await grace.goto('/console/me/sessions');
  await button(grace, 'End all other sessions').click();
  await expect(grace, 'other sessions', 'All other sessions were ended');
  // Somebody's only GDPR token, which ends without another.
  await ada.goto('/console/me/data/gdpr');
  await confirmed(ada, 'ada@example.com', 'Reset');
  await ada.goto('/console/me/data');
  await button(ada, 'End it').click();
  await expect(ada, 'the GDPR token', 'Your GDPR token was ended');
}

async function members({ ada, grace, project, organisation, look, expect, button, confirmed, complaints }) {
  // A second factor is required: who has none is told what to do.
  await ada.goto(organisation);
  await ada.fill('#name', 'Difference Engines');
  await button(ada, 'Save').click();
  await expect(ada, 'another name', 'Difference Engines');
  await ada.check('#required');
  await ada.locator('section', { has: ada.locator('#required') }).getByRole('button').click();
  await expect(ada, 'required', 'required of everybody');
  const closed = await grace.goto(project);
  if (closed.status() !== 403) complaints.push(`a project is open without the second factor that is required: ${closed.status()}`);
  await expect(grace, 'a second factor is missing', 'second factor');
  await look(grace, 'error-second-factor-required');
  await ada.uncheck('#required');
  await ada.locator('section', { has: ada.locator('#required') }).getByRole('button').click();
  await expect(ada, 'not required', 'own choice');

  await ada.goto(`${organisation}/members`);
  const name = 'Rear Admiral Grace Hopper';
  for (const role of ['admin', 'member']) {
    await ada.getByLabel(`Role of ${name}`).selectOption(role);
    await button(ada, `Save the role of ${name}`).click();
    await expect(ada, 'another role', 'The role was changed');
  }
  await button(ada, 'Take back the invitation of linus@example.com').click();
  await expect(ada, 'an invitation', 'The invitation was taken back');
  await ada.getByRole('link', { name: `Remove ${name}` }).click();
  await look(ada, 'confirm-remove-member');
  await confirmed(ada, 'grace@example.com', 'Remove');
  await expect(ada, 'a member removed', 'The person was removed');
  const gone = await grace.goto(organisation);
  if (gone.status() !== 404) complaints.push(`who was removed still sees the organisation: ${gone.status()}`);
  await ada.fill('#email', 'grace@example.com');
  await button(ada, 'Make a link').click();
  const link = await ada.textContent('#link');
  await grace.goto(link.replace(/^https?:\/\/[^/]+/, ''));
  await look(grace, 'invitation-signed-in');
  await button(grace, 'Join').click();
  await expect(grace, 'joined again', 'You joined the organisation');

  await ada.goto(`${organisation}/audit`);
  const [file] = await Promise.all([ada.waitForEvent('download'), ada.getByRole('link', { name: 'All as NDJSON' }).click()]);
  const entries = require('fs').readFileSync(await file.path(), 'utf8').trim().split('\n').map(JSON.parse);
  if (!entries.some((entry) => entry.action === 'organisation.created' || entry.action === 'person.created')) {
    complaints.push(`the audit's file does not go back to the beginning: ${entries.length} entries`);
  }
}

module.exports = { begin, finish };
