// The running scheduler as nats.js sees it: found by service discovery, asked, refused.
// Started by test_control.sh. Anything unexpected throws, and the exit status says so.
//
//     node control.js URL SEED_FILE INBOX_PREFIX
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { connect, nkeyAuthenticator } = require('nats');

async function collect(answers) {
    const list = [];
    for await (const answer of answers) {
        list.push(answer);
    }
    return list;
}

async function ask(nc, verb, fields) {
    const request = { v: 1, type: 'ctl.request', id: `js-${verb}`, ...fields };
    const answer = await nc.request(
        `berth.v1.ctl.${verb}`, JSON.stringify(request), { timeout: 10000 });
    const reply = answer.json();
    assert.strictEqual(reply.type, 'ctl.reply');
    assert.strictEqual(reply.id, request.id);
    return { reply, headers: answer.headers };
}

async function main() {
    const [url, seedFile, inbox] = process.argv.slice(2);
    const seed = new TextEncoder().encode(fs.readFileSync(seedFile, 'utf8').trim());
    const nc = await connect({
        servers: url, authenticator: nkeyAuthenticator(seed), inboxPrefix: inbox });
    const client = nc.services.client({ maxWait: 3000, maxMessages: 1, strategy: 'count' });
    const infos = await collect(await client.info('berth'));
    assert.strictEqual(infos.length, 1);
    const subjects = infos[0].endpoints.map((endpoint) => endpoint.subject);
    const verbs = ['info', 'apply', 'delete', 'retag', 'plan', 'explain', 'get', 'cost', 'events'];
    for (const verb of verbs) {
        assert.ok(subjects.includes(`berth.v1.ctl.${verb}`), `${verb} is not among ${subjects}`);
    }

    const { reply } = await ask(nc, 'get', { kind: 'sites' });
    assert.ok(!reply.code);
    const sites = JSON.parse(reply.body).items.map((site) => site.name);
    assert.ok(sites.includes('aws/us-east-1'));

    const refused = await ask(nc, 'apply', { document: 'app: x\nworkloadz: []\n' });
    assert.ok(refused.reply.code < 0);
    assert.match(refused.reply.text, /does not prove who wrote it/);
    assert.ok(refused.headers.get('Nats-Service-Error'));
    const wrong = await ask(nc, 'plan', { document: 'app: x\nworkloadz: []\n' });
    assert.ok(wrong.reply.code < 0);
    assert.match(wrong.reply.text, /did you mean "workloads"/);

    const stats = await collect(await client.stats('berth'));
    const get = stats[0].endpoints.find((endpoint) => endpoint.name === 'get');
    assert.ok(get.num_requests >= 1);
    await nc.drain();
    console.log('nats.js found the scheduler, asked it, and was refused with the field named');
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
