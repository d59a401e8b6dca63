// What those do who look after projects and organisations.
'use strict';

async function walk() {}

module.exports = { walk };
