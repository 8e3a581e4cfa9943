/**
 * Drives Epicenter's own JavaScript client against a gateway and judges what the client makes of the answers.
 *
 *     node acceptance.mjs CLIENT GATEWAY_URL [RECORD]
 *
 * CLIENT is the client's bundle for Node (CommonJS or a module), as it was built. GATEWAY_URL is a gateway with
 * auth = development in front of a worker that serves counter.py of the gateway's tests. With RECORD, what went over
 * the wire is written to that file, one exchange a line, in the form that the recorded test replays. Prints a line for
 * each step; ends with status 1 at the first that fails.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { startRecorder } from './recorder.mjs';

const [clientPath, gateway, recordPath] = process.argv.slice(2);
if (!gateway) {
    console.error('usage: node acceptance.mjs CLIENT GATEWAY_URL [RECORD]');
    process.exit(2);
}
const loaded = await import(pathToFileURL(path.resolve(clientPath)));
const { config, authAdapter, errorManager, runAdapter, worldAdapter, consensusAdapter, Router, Fault } =
    loaded.runAdapter ? loaded : loaded.default;

const MODEL = 'counter.py';
const TEAM = 'team-acceptance';
const SCOPE = { scopeBoundary: 'GROUP', scopeKey: TEAM };
const NO_RUN = '0'.repeat(36);

const steps = [];
/** One thing that the client must be able to do. Steps run in the order in which they stand here. */
const step = (name, perform) => steps.push([name, perform]);
const made = {};

/** The Fault that a promise must end with. */
async function faultOf(promise) {
    try {
        await promise;
    } catch (error) {
        assert.ok(error instanceof Fault, `no Fault but ${error}`);
        assert.ok(error.message.length > 0);
        return error;
    }
    assert.fail('nothing failed');
}

/** Expects a Fault by what the client makes of it: status and code as fields, the rest of the information beside. */
async function fails(promise, status, code, information = {}) {
    const fault = await faultOf(promise);
    assert.deepEqual([fault.status, fault.code], [status, code]);
    for (const [name, value] of Object.entries(information)) assert.deepEqual(fault.information[name], value, name);
}

const keysOf = (runs) => runs.map((run) => run.runKey);
const asks = (token, userKey = token) => {
    authAdapter.setLocalSession({ objectType: 'user', token, userKey, groupName: TEAM, groupKey: TEAM });
};

step('create', async () => {
    const run = await runAdapter.create(MODEL, { ...SCOPE, userKey: 'dev' }, {
        readLock: 'PARTICIPANT',
        writeLock: 'PARTICIPANT',
        trackingKey: 'first',
        allowChannel: true,
        executionContext: { version: 'V1', presets: { hidden: 7 } },
    });
    assert.match(run.runKey, /^[0-9a-f]{36}$/);
    assert.deepEqual(run.permit, { readLock: 'PARTICIPANT', writeLock: 'PARTICIPANT' });
    assert.deepEqual([run.trackingKey, run.morphology, run.modelFile], ['first', 'MANY', MODEL]);
    made.run = run.runKey;
});
step('create for the user of the session', async () => {
    const run = await runAdapter.create(MODEL, SCOPE);
    assert.equal(run.scope.userKey, 'dev');
    made.other = run.runKey;
});
step('get', async () => assert.equal((await runAdapter.get(made.run)).runKey, made.run));
step('operate', async () => {
    assert.equal(await runAdapter.operation(made.run, 'add', [2]), 2);
    assert.equal(await runAdapter.operation(made.run, 'add', [3], { ritual: 'REVIVE', timeout: 20 }), 5);
    assert.equal(await runAdapter.operation([made.run], 'add'), 6);
    assert.equal(await runAdapter.operation(made.run, 'nap', [0]), null);
});
step('read variables', async () => {
    assert.equal(await runAdapter.getVariable(made.run, 'count'), 6);
    assert.equal(await runAdapter.getVariable(made.run, 'hidden', { ritual: 'REVIVE', timeout: 20 }), 7);
    assert.deepEqual(await runAdapter.getVariables(made.run, ['count', 'log']), { count: 6, log: [2, 3, 1] });
    assert.deepEqual(await runAdapter.getVariable(made.run, ['hidden', 'log[0]']), { hidden: 7, 'log[0]': 2 });
    const some = await runAdapter.getVariables(made.run, ['nowhere', 'count'], { ignorable: true, ritual: 'REVIVE' });
    assert.deepEqual(some, { nowhere: null, count: 6 });
});
step('write variables', async () => {
    assert.deepEqual(await runAdapter.updateVariables(made.run, { hidden: 8 }), { hidden: 8 });
    assert.deepEqual(await runAdapter.updateVariables(made.run, { hidden: 9 }, { ritual: 'REVIVE' }), { hidden: 9 });
});
step('act', async () => {
    const results = await runAdapter.action(made.run, [
        { objectType: 'set', name: 'hidden', value: 10 },
        { objectType: 'execute', name: 'add', arguments: [4] },
        { objectType: 'get', name: 'hidden' },
    ], { timeout: 20 });
    assert.deepEqual(results, [
        { objectType: 'set', name: 'hidden', value: 10 },
        { objectType: 'execute', name: 'add', result: 10 },
        { objectType: 'get', name: 'hidden', value: 10 },
    ]);
});
step('introspect', async () => {
    const byModel = await runAdapter.introspect(MODEL);
    const byRun = await runAdapter.introspectWithRunKey(made.run);
    for (const found of [byModel, byRun]) {
        assert.ok(found.functions.some(({ name }) => name === 'add'));
        assert.ok(found.variables.some(({ name }) => name === 'count'));
    }
});
step('set, push and pop metadata', async () => {
    const set = await runAdapter.updateMetadata(made.run, { set: { editor: 'ada', turns: [1] } }, { timeout: 20 });
    assert.deepEqual(set, { editor: 'ada', turns: [1] });
    assert.deepEqual(await runAdapter.updateMetadata(made.run, { push: { turns: 2 } }), { turns: [1, 2] });
    const pop = { turns: { objectType: 'first' } };
    assert.deepEqual(await runAdapter.updateMetadata(made.run, { pop }), { turns: [2] });
    const [editor, turns] = await runAdapter.getMetadata(made.run, ['editor', 'turns']);
    assert.deepEqual([editor, turns], ['ada', [2]]);
});
step('remove', async () => {
    assert.equal(await runAdapter.remove(made.run), undefined);
    assert.equal((await runAdapter.get(made.run)).runState, 'INACTIVE');
});
step('restore', async () => {
    assert.equal((await runAdapter.restore(made.run)).runState, 'ACTIVE');
    assert.equal(await runAdapter.getVariable(made.run, 'hidden', { ritual: 'INTER' }), 10);
});
step('rewind', async () => {
    assert.equal((await runAdapter.rewind(made.run, 2)).runKey, made.run);
    assert.equal(await runAdapter.getVariable(made.run, 'count'), 5);
});
step('clone', async () => {
    const copy = await runAdapter.clone(made.run, { trackingKey: 'copy' });
    assert.notEqual(copy.runKey, made.run);
    assert.equal(await runAdapter.getVariable(copy.runKey, 'count'), 5);
    made.copy = copy.runKey;
});
step('migrate', async () => {
    const copy = await runAdapter.migrate(made.run, 'episode-acceptance', { trackingKey: 'moved' });
    assert.deepEqual([copy.scope.scopeBoundary, copy.scope.scopeKey], ['EPISODE', 'episode-acceptance']);
    assert.equal(await runAdapter.getVariable(copy.runKey, 'count'), 5);
});
step('update', async () => {
    const changed = await runAdapter.update(made.copy, { trackingKey: 'kept', marked: true, readLock: 'FACILITATOR' });
    assert.deepEqual([changed.trackingKey, changed.marked], ['kept', true]);
    assert.equal(changed.permit.readLock, 'FACILITATOR');
    assert.equal((await runAdapter.update([made.copy], { hidden: true })).hidden, true);
    const both = await runAdapter.update([made.copy, made.other], { marked: false });
    assert.deepEqual(Object.keys(both).sort(), [made.copy, made.other].sort());
});
step('many runs at once', async () => {
    const pair = [made.run, made.other];
    assert.deepEqual(await runAdapter.operation(pair, 'add', [1]), { [made.run]: 6, [made.other]: 1 });
    const values = await runAdapter.getVariables(pair, ['count']);
    assert.deepEqual(new Map(values.map((one) => [one.runKey, one.variables])),
        new Map([[made.run, { count: 6 }], [made.other, { count: 1 }]]));
    const written = await runAdapter.updateVariables(pair, { hidden: 1 }, { timeout: 20 });
    assert.deepEqual(written, { [made.run]: { hidden: 1 }, [made.other]: { hidden: 1 } });
    const acted = await runAdapter.action(pair, [{ objectType: 'execute', name: 'add', arguments: [1] }]);
    assert.equal(acted[made.other][0].result, 2);
    const told = await runAdapter.updateMetadata(pair, { set: { round: 1 } });
    assert.deepEqual(told[made.other], { round: 1 });
    const metadata = await runAdapter.getMetadata(pair, ['round']);
    assert.deepEqual(metadata.map((one) => one.data), [[1], [1]]);
});
step('query with filters and values', async () => {
    for (let number = 0; number < 5; number += 1) {
        const { runKey } = await runAdapter.create(MODEL, SCOPE, { trackingKey: `page-${number}` });
        await runAdapter.operation(runKey, 'add', [number]);
        await runAdapter.updateMetadata(runKey, { set: { number } });
    }
    const page = await runAdapter.query(MODEL, {
        scope: { ...SCOPE, userKey: 'dev' },
        filter: ['run.trackingKey~=page-*', 'var.count>=3', 'meta.number*=true'],
        sort: ['-run.trackingKey'],
        variables: ['count', 'hidden'],
        metadata: ['number'],
        timeout: 20,
    });
    assert.deepEqual(page.values.map((run) => run.trackingKey), ['page-4', 'page-3']);
    assert.equal(page.values[0].variables.count, 4);
    assert.deepEqual(page.values[0].metaData, { number: 4 });
    const either = { type: 'or', filters: ['run.trackingKey=page-0', { type: 'and', filters: ['var.count=2'] }] };
    const found = await runAdapter.query(MODEL, { groupName: TEAM, filter: either, sort: ['+run.created'] });
    assert.deepEqual(found.values.map((run) => run.trackingKey).slice(-2), ['page-0', 'page-2']);
    const none = await runAdapter.query(MODEL, { filter: 'run.trackingKey=nobody', includeEpisodes: true });
    assert.deepEqual([none.totalResults, none.values], [0, []]);
});
step('page through a query', async () => {
    const options = { scope: SCOPE, filter: ['run.trackingKey~=page-*'], sort: ['+run.trackingKey'], max: 2 };
    const page = await runAdapter.query(MODEL, options);
    const at = (runs) => runs.map((run) => run.trackingKey.slice(-1)).join('');
    assert.deepEqual([page.totalResults, at(page.values)], [5, '01']);
    assert.equal(at(await page.next()), '23');
    assert.equal(at(await page.next()), '4');
    assert.deepEqual(await page.next(), []);
    assert.equal(at(await page.prev()), '23');
    assert.equal(at(await page.prev()), '01');
    assert.deepEqual(await page.prev(), []);
    assert.equal(at(await page.all()), '01234');
});
step('singular', async () => {
    const run = await runAdapter.createSingular(MODEL, { readLock: 'ANONYMOUS' });
    assert.equal(run.morphology, 'SINGULAR');
    assert.equal((await runAdapter.createSingular(MODEL)).runKey, run.runKey);
    assert.equal(await runAdapter.getSingularRunKey(), run.runKey);
});
step('strategies', async () => {
    const scope = { scopeBoundary: 'GROUP', scopeKey: 'team-of-strategies' };
    const first = await runAdapter.getWithStrategy('reuse-across-sessions', MODEL, scope);
    assert.equal((await runAdapter.getWithStrategy('reuse-across-sessions', MODEL, scope)).runKey, first.runKey);
    const second = await runAdapter.getWithStrategy('reuse-never', MODEL, scope);
    assert.notEqual(second.runKey, first.runKey);
    assert.equal((await runAdapter.getWithStrategy('reuse-across-sessions', MODEL, scope)).runKey, second.runKey);
    await assert.rejects(runAdapter.getWithStrategy('multiplayer', MODEL, scope), /Invalid run strategy/);
});
step('worlds', async () => {
    asks('dev:FACILITATOR:fay', 'fay');
    const world = 'world-acceptance';
    const run = await runAdapter.retrieveFromWorld(world, MODEL, { readLock: 'PARTICIPANT', trackingKey: 'world' });
    assert.equal((await runAdapter.retrieveFromWorld(world, MODEL)).runKey, run.runKey);
    assert.deepEqual([run.scope.scopeBoundary, run.scope.userKey], ['WORLD', undefined]);
    const mine = await runAdapter.create(MODEL, { scopeBoundary: 'WORLD', scopeKey: world });
    const assigned = await worldAdapter.assignRun(world, mine.runKey);
    assert.deepEqual([assigned.worldKey, assigned.runKey], [world, mine.runKey]);
    assert.equal((await worldAdapter.update(world, { runKey: run.runKey })).runKey, run.runKey);
    assert.equal(await runAdapter.removeFromWorld(world), undefined);
    const next = await runAdapter.retrieveFromWorld(world, MODEL);
    assert.notEqual(next.runKey, run.runKey);
    assert.equal(await worldAdapter.destroy(world), undefined);
    assert.equal((await runAdapter.get(next.runKey)).closed, true);
    asks('dev');
});
step('worlds of a group', async () => {
    const made = await runAdapter.retrieveFromWorld('world-of-group', MODEL, { body: {
        modelFile: MODEL, morphology: 'MANY', address: { groupName: TEAM },
    } });
    const worlds = await worldAdapter.get({ groupName: TEAM });
    assert.deepEqual(worlds.map((one) => [one.worldKey, one.runKey]), [['world-of-group', made.runKey]]);
    assert.deepEqual(await worldAdapter.get({ groupName: TEAM, mine: true }), []);
});
step('what a worker does not hold of worlds is a Fault', async () => {
    await fails(worldAdapter.update('world-of-group', { displayName: 'One' }), 501, 'NOT_SERVED');
    await fails(worldAdapter.create({ name: 'two' }), 501, 'NOT_SERVED');
    // Not every build of the client has this adapter.
    const actions = [{ name: 'add', arguments: [] }];
    const submitted = consensusAdapter?.submitActions('world-of-group', 'barrier', 'stage', actions);
    if (submitted) await fails(submitted, 501, 'NOT_SERVED');
});
step('through the project proxy', async () => {
    assert.equal((await runAdapter.get(made.run, { useProjectProxy: true })).runKey, made.run);
});
step('faults have status, code and information', async () => {
    await fails(runAdapter.get(NO_RUN), 404, 'RUN_NOT_FOUND', { retryable: false });
    await fails(runAdapter.create('nowhere.py', SCOPE), 404, 'MODEL_NOT_FOUND');
    await fails(runAdapter.create('broken.py', SCOPE), 500, 'MODEL_START_FAILURE');
    await fails(runAdapter.operation(made.run, 'fail', ['why']), 422, 'MODEL_ERROR', { type: 'ValueError' });
    await fails(runAdapter.operation(made.run, 'nothing'), 404, 'UNKNOWN_OPERATION');
    await fails(runAdapter.getVariable(made.run, 'nowhere', { ritual: 'REVIVE' }), 404, 'UNKNOWN_VARIABLE');
    await fails(runAdapter.getMetadata(made.run, ['nowhere']), 410, 'UNRECORDED_VARIABLE');
    await fails(runAdapter.rewind(made.run, 99), 400, 'REWIND_INVALID');
    await fails(runAdapter.query(MODEL, { scope: SCOPE, filter: 'run.(' }), 400, 'INVALID_FILTER');
    await runAdapter.remove(made.run);
    await fails(runAdapter.getVariable(made.run, 'hidden'), 410, 'UNRECORDED_VARIABLE');
    await fails(runAdapter.operation(made.run, 'add', [], { ritual: 'INTER' }), 409, 'RUN_NOT_RUNNING');
    await runAdapter.update(made.run, { closed: true });
    await fails(runAdapter.operation(made.run, 'add'), 409, 'RUN_CLOSED');
});
step('roles are a Fault too, and an error handler may mend it', async () => {
    asks('dev:ANONYMOUS:nobody', 'nobody');
    await fails(runAdapter.get(made.run), 401, 'AUTHORIZATION_FAILURE');
    asks('expired');
    let asked = 0;
    const handler = errorManager.registerHandler((fault) => fault.code === 'AUTHENTICATION_INVALIDATED', (_, retry) => {
        asked += 1;
        asks('dev');
        return retry();
    });
    assert.equal((await runAdapter.get(made.run)).runKey, made.run);
    assert.equal(asked, 1);
    handler.unregister();
});
step('a body that is none of ours is a Fault', async () => {
    const strange = new Router().post('/run', { body: { modelFile: MODEL, scope: SCOPE, color: 'red' } });
    await fails(strange, 400, 'INCOMPREHENSIBLE_REQUEST', { path: 'color' });
});

console.warn = () => {};
const recorder = recordPath ? await startRecorder(gateway) : null;
const url = new URL(recorder ? recorder.url : gateway);
config.apiProtocol = url.protocol;
config.apiHost = url.host;
config.accountShortName = 'acme';
config.projectShortName = 'demo';
asks('dev');

let failed = 0;
for (const [name, perform] of steps) {
    recorder?.begin(name);
    try {
        await perform();
        console.log(`ok ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAILED ${name}: ${error?.stack ?? error}`);
        if (error?.information) console.log(JSON.stringify(error));
        break;
    }
}
if (recorder) {
    await recorder.close();
    writeFileSync(recordPath, recorder.lines().map((line) => `${line}\n`).join(''));
}
process.exit(failed ? 1 : 0);
