// Berth as nats.js sees it: the service that answers for the scheduler, and the object store.
// Started by test_interop.c, which serves meanwhile. Prints the digest of what it stored; anything
// unexpected throws, and the exit status says so.
//
//     node interop.js URL SEED_FILE INBOX_PREFIX DIGEST_OF_FROM_C
'use strict';

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const { connect, nkeyAuthenticator } = require('nats');

async function collect(answers) {
    const list = [];
    for await (const answer of answers) {
        list.push(answer);
    }
    return list;
}

async function checkService(nc) {
    const client = nc.services.client({ maxWait: 2000, maxMessages: 1, strategy: 'count' });
    const pings = await collect(await client.ping('berth'));
    assert.strictEqual(pings.length, 1);
    assert.strictEqual(pings[0].type, 'io.nats.micro.v1.ping_response');

    const infos = await collect(await client.info('berth', pings[0].id));
    assert.strictEqual(infos[0].description, 'placement control');
    assert.deepStrictEqual(
        infos[0].endpoints.map((e) => [e.name, e.subject, e.queue_group]),
        [['get', 'berth.v1.ctl.get', 'q'], ['bad', 'berth.v1.ctl.bad', 'q']]);

    const reply = await nc.request('berth.v1.ctl.get', 'hello', { timeout: 5000 });
    assert.strictEqual(reply.string(), 'hello');
    const failed = await nc.request('berth.v1.ctl.bad', '', { timeout: 5000 });
    assert.strictEqual(failed.headers.get('Nats-Service-Error'), 'nothing here');
    assert.strictEqual(failed.headers.get('Nats-Service-Error-Code'), '404');
    assert.strictEqual(failed.string(), 'body');

    const stats = await collect(await client.stats('berth'));
    assert.strictEqual(stats[0].endpoints[0].num_requests, 1);
    assert.strictEqual(stats[0].endpoints[1].num_errors, 1);
    assert.strictEqual(stats[0].endpoints[1].last_error, '404:nothing here');
    assert.ok(!Number.isNaN(Date.parse(stats[0].started)));
}

async function checkStore(nc, digest) {
    const store = await nc.jetstream().views.os('artifacts');
    const bytes = await store.getBlob('from c/one?');
    assert.strictEqual('sha256:' + crypto.createHash('sha256').update(bytes).digest('hex'), digest);
    const info = await store.info('from c/one?');
    assert.strictEqual(info.size, bytes.length);
    assert.strictEqual(info.chunks, 3);
    assert.strictEqual(await store.getBlob('deleted by c'), null);

    const mine = crypto.randomBytes(400000);
    await store.putBlob({ name: 'from js' }, mine);
    await store.putBlob({ name: 'from js' }, mine); // replaces, as a second upload does
    await store.putBlob({ name: 'deleted by js' }, mine);
    await store.delete('deleted by js');
    return 'sha256:' + crypto.createHash('sha256').update(mine).digest('hex');
}

async function main() {
    const [url, seedFile, inboxPrefix, digest] = process.argv.slice(2);
    const seed = fs.readFileSync(seedFile, 'utf8').trim();
    const nc = await connect({
        servers: url,
        inboxPrefix,
        authenticator: nkeyAuthenticator(new TextEncoder().encode(seed)),
    });
    await checkService(nc);
    const stored = await checkStore(nc, digest);
    await nc.drain();
    process.stdout.write(stored + '\n');
}

main().catch((problem) => {
    console.error(problem);
    process.exit(1);
});
