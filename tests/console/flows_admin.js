// What those do who look after projects and organisations: keys, service accounts, members, settings, the audit.
'use strict';

async function walk({ ada, grace, project, organisation, look, expect, button, confirmed, complaints, PASSWORD, given }) {
  const asked = async (credentials, path, more = {}) => {
    const headers = { Authorization: `Basic ${Buffer.from(credentials).toString('base64')}`, 'User-Agent': 'walk-tap/1.0' };
    return (await fetch(`${given.url}${path}`, { headers, ...more })).status;
  };

  // Sharing the project with the other member, who then sees it.
  await ada.goto(`${project}/members`);
  await ada.selectOption('#add-role', 'analyst');
  await button(ada, 'Share').click();
  await expect(ada, 'shared', 'The role was changed');
  await look(ada, 'project-members');
  await ada.fill('#email', 'linus@example.com');
  await ada.selectOption('#invite-role', 'consumer');
  await button(ada, 'Make a link').click();
  await look(ada, 'project-invited');
  await grace.goto(project);
  await look(grace, 'project-as-analyst');
  const refused = await grace.goto(`${project}/keys`);
  if (refused.status() !== 403) complaints.push(`an analyst sees keys: ${refused.status()}`);
  await look(grace, 'error-denied');

  // Access keys: another token, key and secret shown, reset with a time to follow.
  await ada.goto(`${project}/keys`);
  await ada.fill('#token', 'an-old-token-of-ours');
  await button(ada, 'Add token').click();
  await expect(ada, 'a token', 'an-old-token-of-ours');
  await look(ada, 'keys');
  await ada.getByRole('link', { name: 'Retire token an-old-token-of-ours' }).click();
  await ada.fill('#at', '2040-01-31T18:00');
  await look(ada, 'token-retire');
  await button(ada, 'Retire').click();
  await expect(ada, 'a token retired', 'ends 2040-01-31 18:00 UTC');
  await ada.getByRole('link', { name: 'Retire token an-old-token-of-ours' }).click();
  await look(ada, 'token-retired');
  await button(ada, 'Take the retirement back').click();
  await expect(ada, 'a retirement taken back', 'retirement was taken back');
  await ada.getByRole('link', { name: 'Remove token an-old-token-of-ours' }).click();
  await look(ada, 'confirm-remove-token');
  await confirmed(ada, 'an-old-token-of-ours', 'Remove token');
  await expect(ada, 'a token removed', 'The token was removed');
  await ada.fill('#current', PASSWORD);
  await button(ada, 'Show key and secret').click();
  await look(ada, 'key-and-secret');
  const old = await ada.textContent('#secret');
  const key = await ada.textContent('#key');
  const today = new Date().toISOString().slice(0, 10);
  const dates = `from_date=${today}&to_date=${today}`;
  // Somebody reads with the secret and imports with the key: both are named before they are reset.
  const record = { event: 'Imported', properties: { time: 1700000000, distinct_id: 'u-9', $insert_id: 'i-9' } };
  const uses = [
    await asked(`${old}:`, `/api/2.0/export?${dates}`),
    await asked(`${key}:`, '/import?strict=0', { method: 'POST', body: JSON.stringify([record]) }),
  ];
  if (uses.join() !== '200,200') complaints.push(`secret and key are not taken: ${uses}`);
  for (let tries = 0; tries < 100; tries += 1) {
    await ada.goto(`${project}/keys/reset`);
    const told = await ada.textContent('main');
    if (told.includes('with the secret: walk-tap/1.0 from') && told.includes('with the key: walk-tap/1.0 from')) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await expect(ada, 'who uses the secret', 'In the last 30 days, with the secret: walk-tap/1.0 from');
  await expect(ada, 'who uses the key', 'In the last 30 days, with the key: walk-tap/1.0 from');
  await look(ada, 'confirm-reset');
  await ada.selectOption('#choice-1', '24h');
  await confirmed(ada, 'not the name', 'Reset').catch(() => {});
  if (!(await ada.locator('button.sure').isDisabled())) complaints.push('the button does not wait for the name');
  await confirmed(ada, 'default', 'Reset');
  const fresh = await ada.textContent('#secret');
  const [kept] = await Promise.all([ada.waitForEvent('download'), button(ada, 'Download').click()]);
  if (require('fs').readFileSync(await kept.path(), 'utf8') !== `${fresh}\n`) complaints.push('the file is not the secret');
  await look(ada, 'key-and-secret-new');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const secret of [old, fresh]) {
    const status = await asked(`${secret}:`, `/api/2.0/export?${dates}`);
    if (status !== 200) complaints.push(`a secret is not taken: ${status}`);
  }
  await ada.goto(`${project}/keys`);
  await look(ada, 'keys-former');
  await button(ada, 'End them now').click();
  await expect(ada, 'former ended', 'ended');

  // A service account.
  await ada.goto(`${project}/accounts`);
  await ada.fill('#username', 'nightly-export');
  await ada.selectOption('#role', 'analyst');
  await ada.fill('#days', '30');
  await button(ada, 'Create').click();
  await look(ada, 'account-secret');
  const machine = `nightly-export:${await ada.textContent('#secret')}`;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const known = await asked(machine, '/api/app/me');
  if (known !== 200) complaints.push(`the service account is not known: ${known}`);
  await ada.goto(`${project}/accounts`);
  await look(ada, 'accounts');
  await ada.getByText('nothing: all its role allows').click();
  await ada.getByLabel('import for nightly-export').check();
  await button(ada, 'Save what nightly-export is narrowed to').click();
  await expect(ada, 'narrowed', 'was changed, at once');
  await look(ada, 'accounts-narrowed');
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const narrowed = await asked(machine, `/api/2.0/export?${dates}&project_id=${project.split('/').pop()}`);
  if (narrowed !== 401) complaints.push(`an account narrowed to importing exports: ${narrowed}`);
  await button(ada, 'Rotate').click();
  await expect(ada, 'rotated', 'The old one is taken until');
  await ada.goto(`${project}/accounts`);
  for (const role of ['admin', 'member']) {
    await ada.locator('summary', { hasText: 'is nightly-export in the organisation' }).click();
    await ada.getByLabel('Role of nightly-export in the organisation').selectOption(role);
    await button(ada, 'Save the role of nightly-export').click();
    await expect(ada, 'another role in the organisation', 'The role was changed');
  }
  await ada.locator('summary', { hasText: 'ends nightly-export' }).click();
  await ada.getByLabel('End of nightly-export').fill('2040-01-31T18:00');
  await button(ada, 'Save when nightly-export ends').click();
  await expect(ada, 'another end', '2040-01-31 18:00');
  await ada.getByRole('link', { name: 'Take out nightly-export of this project' }).click();
  await look(ada, 'confirm-take-out-account');
  await confirmed(ada, 'nightly-export', 'Take it out');
  await expect(ada, 'an account taken out', 'uses this project no longer');
  await look(ada, 'accounts-to-share');
  await ada.selectOption('#account', 'nightly-export');
  await button(ada, 'Share').click();
  await expect(ada, 'an account shared', 'may use this project, too');
  await ada.goto(`${project}/accounts/nightly-export/delete`);
  await look(ada, 'confirm-delete-account');
  await confirmed(ada, 'nightly-export', 'Delete service account');
  await expect(ada, 'a service account deleted', 'was deleted');

  // Export and settings.
  await ada.goto(`${project}/export`);
  await ada.fill('#event', 'Order completed');
  await button(ada, 'Show').click();
  await expect(ada, 'the line', 'api/2.0/export?from_date=');
  await look(ada, 'export');
  const [events] = await Promise.all([ada.waitForEvent('download'), ada.getByRole('link', { name: 'Download' }).click()]);
  const lines = require('zlib').gunzipSync(require('fs').readFileSync(await events.path())).toString().trim().split('\n');
  if (lines.length !== 4 || !lines.every((line) => JSON.parse(line).event === 'Order completed')) {
    complaints.push(`the file of events has ${lines.length} lines: ${lines[0]}`);
  }
  await ada.fill('#where', 'properties.plan == "pro"');
  await button(ada, 'Show').click();
  await expect(ada, 'what is wrong with a condition', 'column 11');
  await look(ada, 'export-problem');
  await ada.fill('#where', 'properties["nothing"] == "pro"');
  await button(ada, 'Show').click();
  await expect(ada, 'the line with a condition', '&where=properties');
  await ada.goto(`${project}/settings`);
  await look(ada, 'settings');
  await ada.fill('#name', 'Web shop');
  await ada.fill('#timezone', 'Europe/Vienna');
  await button(ada, 'Save').click();
  await expect(ada, 'settings', 'Web shop');
  await expect(ada, 'times in the zone of the project, with UTC', ' UTC)');
  await ada.fill('#timezone', 'Mars/Olympus');
  await button(ada, 'Save').click();
  await look(ada, 'settings-wrong');

  await ada.goto(`${project}/settings`);
  await ada.fill('#days', '90');
  await button(ada, 'Change').click();
  await look(ada, 'confirm-retention');
  await confirmed(ada, 'Web shop', 'Change');
  await expect(ada, 'retention', 'Saved');

  // A token that is nobody's, given to the project.
  await ada.goto('/console/unclaimed');
  await expect(ada, 'unclaimed', 'nobodys-token-1');
  await look(ada, 'unclaimed');
  await button(ada, 'Claim').click();
  await expect(ada, 'claimed', 'The token was claimed');

  // Another project, made and deleted and had back.
  await ada.goto(`${organisation}/projects/new`);
  await look(ada, 'project-new');
  await ada.fill('#name', 'Mobile app');
  await button(ada, 'Create project').click();
  await look(ada, 'project-created');
  await ada.getByRole('link', { name: 'To the project' }).click();
  const mobile = ada.url();
  await ada.goto(`${mobile}/settings/delete`);
  await look(ada, 'confirm-delete-project');
  await confirmed(ada, 'Mobile app', 'Delete project');
  await expect(ada, 'a project deleted', 'can be had back');
  await ada.goto(organisation);
  await look(ada, 'organisation-deleted');
  await button(ada, 'Take back').click();
  await expect(ada, 'a project had back', 'The project is back');
  // Handed to another organisation, and back: what stays behind is listed first.
  await ada.goto('/console/organisations');
  await ada.fill('#name', 'Second house');
  await button(ada, 'Create organisation').click();
  await expect(ada, 'another organisation', 'Second house');
  await ada.goto(`${mobile}/settings/transfer`);
  await expect(ada, 'what a transfer drops', 'loses access');
  await look(ada, 'confirm-transfer');
  await confirmed(ada, 'Mobile app', 'Transfer project');
  await expect(ada, 'transferred', 'The project was transferred');
  await ada.goto(`${mobile}/settings/transfer`);
  await confirmed(ada, 'Mobile app', 'Transfer project');
  await expect(ada, 'transferred back', 'The project was transferred');
  await ada.goto('/console/organisations');
  await ada.getByRole('link', { name: 'Second house' }).click();
  await ada.getByRole('link', { name: 'Delete organisation' }).click();
  await look(ada, 'confirm-delete-organisation');
  await confirmed(ada, 'Second house', 'Delete organisation');
  await expect(ada, 'an organisation deleted', 'The organisation was deleted');
  await ada.goto('/console/projects');
  await look(ada, 'projects-two');
  await ada.goto(`${organisation}/audit`);
  await expect(ada, 'the audit', 'project.created');
  await look(ada, 'audit');

  // Preferences, one's data, the GDPR token.
  await ada.goto('/console/me/preferences');
  await look(ada, 'preferences');
  await ada.check('#usage');
  await button(ada, 'Save').click();
  await expect(ada, 'preferences', 'Saved');
  await ada.goto('/console/me/data');
  await look(ada, 'data');
  await button(ada, 'Request data').click();
  await look(ada, 'data-request');
  const [file] = await Promise.all([ada.waitForEvent('download'), ada.getByRole('link', { name: 'Download' }).click()]);
  if (file.suggestedFilename() !== 'my-data.json') complaints.push(`one's data is called ${file.suggestedFilename()}`);
  await ada.goto('/console/me/data/gdpr');
  await look(ada, 'confirm-gdpr');
  await confirmed(ada, 'ada@example.com', 'Reset');
  await look(ada, 'gdpr-token');
  await ada.goto('/console/me/data/erase');
  await look(ada, 'confirm-erase');
  await confirmed(ada, 'ada@example.com', 'Erase data');
  await look(ada, 'data-erased');
}

module.exports = { walk };
