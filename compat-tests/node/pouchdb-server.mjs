// npm's pouchdb-server, another server that speaks the protocol: the server's replicator pushes to it and pulls from
// it, and a ring of a PouchDB client, the server and pouchdb-server ends with the same leaves everywhere.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { check, finish, freshName, local, noise, numberedDocs, PouchDB, prose, request, server, until } from './checks.mjs'

const PROGRAM = fileURLToPath(new URL('node_modules/pouchdb-server/bin/pouchdb-server', import.meta.url))

const freePort = () => new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => resolve(port))
  })
})

// It cannot choose a port itself (0 means 5984 to it), so a free one is found for it, again where another was quicker.
async function startOther () {
  const folder = mkdtempSync(join(tmpdir(), 'pouchdb-server-'))
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const port = await freePort()
    const other = spawn(process.execPath, [PROGRAM, '--in-memory', '--no-stdout-logs', '--port', port],
      { cwd: folder, stdio: 'ignore' })
    process.on('exit', () => {
      other.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    })
    const url = `http://127.0.0.1:${port}`
    const answer = () => fetch(url).then((response) => response.json(), () => undefined)
    const found = await until('pouchdb-server to start', async () => other.exitCode !== null ? 'ended' : await answer())
    if (found['express-pouchdb']) return url
    other.kill('SIGKILL')
  }
  throw new Error('pouchdb-server does not start')
}

const other = await startOther()
console.log(`pouchdb-server at ${other}`)

// A database on both servers, as PouchDB sees them and as the replicator is told of them.
async function twins (label) {
  const name = freshName(label)
  const [here, there] = [new PouchDB(`${server}/${name}`), new PouchDB(`${other}/${name}`)]
  await Promise.all([here.info(), there.info()])
  return { name, here, there, away: `${other}/${name}` }
}

async function replicate (body) {
  const response = await request('POST', '/_replicate', { json: body })
  const found = await response.json()
  assert.ok(response.ok, JSON.stringify(found))
  return found
}

// id -> its winner, its conflicts and all its leaves: histories, members, the bytes of the attachments. The digests of
// attachments are left out: those that the server keeps compressed are of the compressed bytes, as in CouchDB.
// A winner that is deleted counts as 404: pouchdb-server gives other reasons.
async function everything (db) {
  const { results } = await db.changes({ since: 0, style: 'all_docs' })
  const found = {}
  for (const { id, changes } of results) {
    const leaves = await db.get(id, { open_revs: 'all', revs: true, attachments: true })
    const docs = leaves.map(({ ok }) => ({ ...ok, ...(ok._attachments && { _attachments: files(ok._attachments) }) }))
    docs.sort((one, two) => one._rev < two._rev ? -1 : 1)
    assert.deepEqual(changes.map(({ rev }) => rev).sort(), docs.map(({ _rev }) => _rev), `leaves of ${id}`)
    const winner = await db.get(id, { conflicts: true }).catch(({ status }) => ({ _rev: status }))
    found[id] = { winner: winner._rev, conflicts: winner._conflicts?.sort(), docs }
  }
  return found
}

function files (attachments) {
  const shown = ([name, { content_type: type, data }]) =>
    [name, { type, sha1: createHash('sha1').update(Buffer.from(data, 'base64')).digest('hex') }]
  return Object.fromEntries(Object.entries(attachments).map(shown).sort())
}

const hex = (digit) => digit.repeat(32)
const branch = (digit, members) =>
  ({ _id: 'both', _rev: `2-${hex(digit)}`, _revisions: { start: 2, ids: [hex(digit), hex('0')] }, ...members })

async function fill (db) {
  await db.bulkDocs([...numberedDocs(150), { _id: 'ä/ö ü', odd: true }, { _id: '_design/app', views: {} }])
  await db.bulkDocs([branch('a', { side: 'a' }), branch('b', { side: 'b' }), branch('c', { _deleted: true })],
    { new_edits: false })
  const file = (type, data) => ({ content_type: type, data: data.toString('base64') })
  await db.put({
    _id: 'files',
    _attachments: { 'prose.txt': file('text/plain', prose(30_000)), 'noise.bin': file('image/png', noise(60_000, 7)) }
  })
  await db.remove(await db.get('doc-000000'))
  const farewell = await db.get('doc-000001')
  await db.put({ _id: farewell._id, _rev: farewell._rev, _deleted: true, why: 'moved' })
}

async function edit (db) {
  await db.remove('both', `2-${hex('a')}`)
  const doc = await db.get('doc-000002')
  await db.put({ ...doc, edited: true })
  const { _rev } = await db.get('files')
  await db.putAttachment('files', 'later.txt', _rev, Buffer.from('later'), 'text/plain')
}

await check('push: conflicts, deletions and attachments arrive on pouchdb-server', async () => {
  const { name, here, there, away } = await twins('push')
  await fill(here)
  const first = await replicate({ source: name, target: away })
  assert.equal(first.history[0].doc_write_failures, 0)
  assert.deepEqual(await everything(there), await everything(here))
  assert.equal((await replicate({ source: name, target: away })).no_changes, true)
  await edit(here)
  await replicate({ source: name, target: away })
  assert.deepEqual(await everything(there), await everything(here))
})

await check('pull: conflicts, deletions and attachments arrive from pouchdb-server', async () => {
  const { name, here, there, away } = await twins('pull')
  await fill(there)
  const first = await replicate({ source: away, target: name })
  assert.equal(first.history[0].doc_write_failures, 0)
  assert.deepEqual(await everything(here), await everything(there))
  assert.equal((await replicate({ source: away, target: name })).no_changes, true)
  await edit(there)
  await replicate({ source: away, target: name })
  assert.deepEqual(await everything(here), await everything(there))
})

await check('a database is created on pouchdb-server, and documents are chosen by id and selector', async () => {
  const { name, here } = await twins('chosen')
  await here.bulkDocs(numberedDocs(20))
  const target = `${other}/${freshName('created')}`
  await replicate({ source: name, target, create_target: true, doc_ids: ['doc-000003', 'doc-000005', 'none'] })
  await replicate({ source: name, target, selector: { number: { $gte: 18 } } })
  const { rows } = await new PouchDB(target).allDocs()
  assert.deepEqual(rows.map(({ id }) => id), ['doc-000003', 'doc-000005', 'doc-000018', 'doc-000019'])
})

await check('both ways: edits on both servers meet as conflicts and agree on the winner', async () => {
  const { name, here, there, away } = await twins('meet')
  await here.put({ _id: 'shared', by: 'nobody' })
  const sync = async () => {
    await replicate({ source: name, target: away })
    await replicate({ source: away, target: name })
  }
  await sync()
  for (const [db, by] of [[here, 'here'], [there, 'there']]) await db.put({ ...await db.get('shared'), by })
  await sync()
  const found = await everything(here)
  assert.deepEqual(await everything(there), found)
  assert.equal(found.shared.conflicts.length, 1)
  await there.remove('shared', found.shared.conflicts[0])
  await sync()
  assert.deepEqual(await everything(there), await everything(here))
  assert.equal((await here.get('shared', { conflicts: true }))._conflicts, undefined)
})

await check('a ring of a client, the server and pouchdb-server ends with the same leaves everywhere', async () => {
  const { name, here, there, away } = await twins('ring')
  const client = local('ring')
  const everywhere = [client, here, there]
  for (const [n, db] of everywhere.entries()) {
    await db.bulkDocs([...numberedDocs(20, `from-${n}`), { _id: 'shared', from: n }])
    await db.put({
      _id: `file-${n}`,
      _attachments: { 'file.txt': { content_type: 'text/plain', data: prose(5000 + n).toString('base64') } }
    })
  }
  const { origin, username, password } = new URL(server)
  const self = { url: `${origin}/${name}`, auth: { basic: { username, password } } }
  const jobs = [{ source: self, target: away }, { source: away, target: self }]
  for (const [n, job] of jobs.entries()) {
    const response = await request('PUT', `/_replicator/${name}-${n}`, { json: { ...job, continuous: true } })
    assert.equal(response.status, 201, await response.text())
  }
  const live = [client.sync(here, { live: true, retry: true }), client.sync(there, { live: true, retry: true })]
  const equal = () => until('the same leaves everywhere', async () => {
    // While they change, leaves may be read that are no more when they are asked for.
    const found = await Promise.all(everywhere.map((db) => everything(db).catch(() => undefined)))
    return found.every((one) => one && isDeepStrictEqual(one, found[0])) && found[0]
  }, 60_000)

  const filled = await until('all three to have met', async () => {
    const found = await equal()
    return Object.keys(found).length === 64 && found
  })
  assert.equal(filled.shared.conflicts.length, 2)

  for (const [n, db] of everywhere.entries()) {
    const doc = await db.get(`from-${n}-000000`)
    await db.put({ ...doc, edited: true })
    await db.remove(await db.get(`from-${(n + 1) % 3}-000001`))
    await db.put({ ...await db.get(`file-${n}`), by: n })
  }
  for (const rev of filled.shared.conflicts) await client.remove('shared', rev)
  const ended = await until('all edits to be everywhere', async () => {
    const found = await equal()
    const gone = [0, 1, 2].every((n) => found[`from-${n}-000001`].winner === 404)
    const edited = [0, 1, 2].every((n) => found[`from-${n}-000000`].docs[0].edited && found[`file-${n}`].docs[0].by === n)
    return gone && edited && !found.shared.conflicts?.length && found
  })
  assert.equal(Object.keys(ended).length, 64)
  for (const sync of live) sync.cancel()
  for (const n of jobs.keys()) {
    const { _rev } = await (await request('GET', `/_replicator/${name}-${n}`)).json()
    await request('DELETE', `/_replicator/${name}-${n}?rev=${_rev}`)
  }
})

await finish()
