// The official Node client against a server: check.js HOST:PORT prints a line a check, and ends with 1 if one fails.

const assert = require("node:assert/strict");
const { once, on } = require("node:events");
const { randomUUID } = require("node:crypto");
const {
  ANY, BACKWARDS, END, KurrentDBClient, NO_STREAM, START, STREAM_EXISTS,
  StreamNotFoundError, WrongExpectedVersionError, binaryEvent, jsonEvent,
} = require("@kurrent/kurrentdb-client");

const MILLISECONDS = 20_000;

const newStream = () => `node-${randomUUID()}`;

const event = (n) => jsonEvent({ type: `Type${n}`, data: { n }, metadata: { from: "node" } });

const numbers = (read) => read.map(({ event }) => [Number(event.revision), event.data.n]);

const pairs = (...values) => values.map((value) => [value, value]);

async function filled(client, count) {
  const stream = newStream();
  for (let n = 0; n < count; n++) await client.appendToStream(stream, event(n), { streamState: ANY });
  return stream;
}

async function readAll(client, stream, options) {
  const read = [];
  for await (const resolved of client.readStream(stream, options)) read.push(resolved);
  return read;
}

const soon = () => ({ signal: AbortSignal.timeout(MILLISECONDS) });

// Events that arrive while nobody waits are kept, in their order.
function listen(subscription) {
  const events = on(subscription, "data", soon());
  return async (count) => {
    const taken = [];
    while (taken.length < count) taken.push((await events.next()).value[0]);
    return numbers(taken);
  };
}

const checks = {
  async "appends and reads back what was written"(client) {
    const stream = newStream();
    const written = event(0);
    const appended = await client.appendToStream(stream, written, { streamState: NO_STREAM });
    assert.equal(appended.success, true);
    assert.equal(appended.nextExpectedRevision, 0n);
    const [{ event: read }] = await readAll(client, stream);
    const { id, type, data, metadata, isJson, streamId, revision } = read;
    assert.deepEqual(
      { id, type, data, metadata, isJson, streamId, revision },
      { id: written.id, type: "Type0", data: { n: 0 }, metadata: { from: "node" }, isJson: true, streamId: stream, revision: 0n },
    );
  },

  async "appends bytes that are no JSON"(client) {
    const stream = newStream();
    const data = Uint8Array.from({ length: 256 }, (_, n) => n);
    await client.appendToStream(stream, binaryEvent({ type: "Raw", data }), { streamState: ANY });
    const [{ event: read }] = await readAll(client, stream);
    assert.equal(read.isJson, false);
    assert.deepEqual(Uint8Array.from(read.data), data);
  },

  async "appends several events at once"(client) {
    const stream = newStream();
    await client.appendToStream(stream, [event(0), event(1), event(2)], { streamState: NO_STREAM });
    assert.deepEqual(numbers(await readAll(client, stream)), pairs(0, 1, 2));
  },

  async "appends at every kind of expected revision"(client) {
    const stream = newStream();
    for (const [n, streamState] of [NO_STREAM, 0n, STREAM_EXISTS, ANY, 3n].entries()) {
      await client.appendToStream(stream, event(n), { streamState });
    }
    assert.deepEqual(numbers(await readAll(client, stream)), pairs(0, 1, 2, 3, 4));
  },

  async "refuses a wrong expected revision and names the actual one"(client) {
    const stream = await filled(client, 2);
    for (const streamState of [NO_STREAM, 0n, 7n]) {
      await assert.rejects(client.appendToStream(stream, event(9), { streamState }), (error) => {
        assert.ok(error instanceof WrongExpectedVersionError, `got ${error}`);
        assert.equal(error.streamName, stream);
        assert.equal(error.expectedState, streamState);
        assert.equal(error.actualState, 1n);
        return true;
      });
    }
    assert.deepEqual(numbers(await readAll(client, stream)), pairs(0, 1));
  },

  async "returns a wrong expected revision as a value where the connection asks for that"(client, connect) {
    const stream = await filled(client, 2);
    const lenient = connect("throwOnAppendFailure=false");
    const refused = await lenient.appendToStream(stream, event(9), { streamState: 0n });
    await lenient.dispose();
    assert.equal(refused.success, false);
  },

  async "refuses to append to a stream that should exist"(client) {
    await assert.rejects(
      client.appendToStream(newStream(), event(0), { streamState: STREAM_EXISTS }),
      WrongExpectedVersionError,
    );
  },

  async "writes an event once that is appended twice"(client) {
    for (const streamState of [NO_STREAM, ANY]) {
      const stream = newStream();
      const written = event(0);
      const first = await client.appendToStream(stream, written, { streamState });
      const second = await client.appendToStream(stream, written, { streamState });
      assert.equal(second.nextExpectedRevision, first.nextExpectedRevision);
      assert.deepEqual(numbers(await readAll(client, stream)), pairs(0));
    }
  },

  async "reads forwards, backwards, from a revision and to a limit"(client) {
    const stream = await filled(client, 5);
    const read = async (options) => numbers(await readAll(client, stream, options));
    assert.deepEqual(await read(), pairs(0, 1, 2, 3, 4));
    assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: END }), pairs(4, 3, 2, 1, 0));
    assert.deepEqual(await read({ fromRevision: 2n }), pairs(2, 3, 4));
    assert.deepEqual(await read({ fromRevision: 1n, maxCount: 2 }), pairs(1, 2));
    assert.deepEqual(await read({ direction: BACKWARDS, fromRevision: 3n, maxCount: 2 }), pairs(3, 2));
    assert.deepEqual(await read({ fromRevision: 5n }), []);
  },

  async "does not find a stream that was never written"(client) {
    await assert.rejects(readAll(client, newStream()), StreamNotFoundError);
  },

  async "subscribes, catches up, hears of new events and unsubscribes"(client) {
    const stream = await filled(client, 3);
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const caughtUp = once(subscription, "caughtUp", soon());
    const take = listen(subscription);
    assert.deepEqual(await take(3), pairs(0, 1, 2));
    await caughtUp;
    assert.ok(subscription.id, "the subscription was not confirmed");
    await client.appendToStream(stream, [event(3), event(4)], { streamState: 2n });
    assert.deepEqual(await take(2), pairs(3, 4));
    await subscription.unsubscribe();
  },

  async "subscribes from a revision, from the end and to what is not there yet"(client) {
    const stream = await filled(client, 3);
    const missing = newStream();
    const subscriptions = [
      client.subscribeToStream(stream, { fromRevision: 1n }),
      client.subscribeToStream(stream, { fromRevision: END }),
      client.subscribeToStream(missing),
    ];
    const caughtUp = subscriptions.map((subscription) => once(subscription, "caughtUp", soon()));
    const [after, end, early] = subscriptions.map(listen);
    await Promise.all(caughtUp);
    await client.appendToStream(stream, event(3), { streamState: 2n });
    await client.appendToStream(missing, event(0), { streamState: NO_STREAM });
    assert.deepEqual(await after(2), pairs(2, 3));
    assert.deepEqual(await end(1), pairs(3));
    assert.deepEqual(await early(1), pairs(0));
    for (const subscription of subscriptions) await subscription.unsubscribe();
  },
};

async function run(connect, client, name, check) {
  try {
    await check(client, connect);
    console.log(`node: ok ${name}`);
    return true;
  } catch (error) {
    console.log(`node: FAILED ${name}\n${error.stack}`);
    return false;
  }
}

async function main(address) {
  const connect = (option) =>
    KurrentDBClient.connectionString(`kurrentdb://${address}?tls=false&defaultDeadline=${MILLISECONDS}&${option}`);
  const client = connect("connectionName=checks");
  const passed = [];
  for (const [name, check] of Object.entries(checks)) passed.push(await run(connect, client, name, check));
  await client.dispose();
  console.log(`node: ${passed.length} checks, ${passed.filter((ok) => !ok).length} failed`);
  process.exit(passed.every(Boolean) ? 0 : 1);
}

main(process.argv[2]);
