// A client that keeps its database on disk replicates, the server is killed and started again (by the caller, on any
// port), and the client goes on from its checkpoint instead of starting over.
//   node pouchdb-resume.mjs URL first|second DIRECTORY DATABASE
// DIRECTORY holds the client's database between the two phases, DATABASE is the name of the one on the server.
import assert from 'node:assert/strict'
import path from 'node:path'
import { check, finish, numberedDocs, PouchDB, revisions, server } from './checks.mjs'

const [phase, directory, name] = process.argv.slice(3)
const COUNT = 400

// What the replicator asked the server for, in order.
const requests = []
const watched = (url, options) => {
  requests.push({ method: options?.method ?? 'GET', url: String(url), body: options?.body })
  return PouchDB.fetch(url, options)
}
const client = new PouchDB(path.join(directory, 'client'))
const hub = new PouchDB(`${server}/${name}`, { fetch: watched })

const feeds = () => requests.filter(({ url }) => url.includes('/_changes'))
const firstSince = () => new URL(feeds()[0].url).searchParams.get('since')
const asked = () => requests.filter(({ url }) => url.includes('/_revs_diff'))
  .reduce((sum, { body }) => sum + Object.keys(JSON.parse(body)).length, 0)
const fetched = () => requests.filter(({ url }) => url.includes('/_bulk_get'))
  .reduce((sum, { body }) => sum + JSON.parse(body).docs.length, 0)

if (phase === 'first') {
  await check('before the kill: everything is replicated both ways and checkpointed', async () => {
    await client.bulkDocs(numberedDocs(COUNT, 'mine'))
    await hub.bulkDocs(numberedDocs(COUNT, 'theirs'))
    const up = await client.replicate.to(hub, { batch_size: 100 })
    const down = await client.replicate.from(hub, { batch_size: 100 })
    assert.deepEqual([up.docs_written, down.docs_written], [COUNT, COUNT])
    await client.replicate.to(hub) // moves the checkpoint past what has just come from there
    assert.equal(firstSince(), '0')
  })
} else {
  await check('after the kill: the server holds every document that was replicated', async () => {
    assert.equal((await hub.info()).doc_count, 2 * COUNT)
    assert.deepEqual(await revisions(hub), await revisions(client))
  })

  await check('replicate from goes on where it stopped', async () => {
    await hub.bulkDocs(numberedDocs(15, 'theirs-later'))
    requests.length = 0
    const result = await client.replicate.from(hub, { batch_size: 100 })
    assert.equal(result.docs_written, 15)
    assert.equal(result.docs_read, 15)
    assert.notEqual(firstSince(), '0')
    assert.equal(fetched(), 15)
    assert.ok(feeds().length <= 2, `${feeds().length} requests for changes`)
  })

  await check('replicate to goes on where it stopped', async () => {
    await client.bulkDocs(numberedDocs(10, 'mine-later'))
    requests.length = 0
    const result = await client.replicate.to(hub, { batch_size: 100 })
    assert.equal(result.docs_written, 10)
    assert.equal(asked(), 10 + 15) // what came from the server is asked for once and not sent
    assert.deepEqual(await revisions(hub), await revisions(client))
  })
}

await client.close()
await finish()
