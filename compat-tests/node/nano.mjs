// nano against the server: databases, documents, bulk, attachments, feeds, sessions.
import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import nano from 'nano'
import { check, failure, finish, freshName, noise, numberedDocs, prose, request, server, until } from './checks.mjs'

const couch = nano(server)
async function database (label) {
  const name = freshName(label)
  await couch.db.create(name)
  return couch.use(name)
}

await check('info, uuids and the list of databases', async () => {
  const info = await couch.info()
  assert.equal(info.couchdb, 'Welcome')
  const { uuids } = await couch.uuids(5)
  assert.equal(new Set(uuids).size, 5)
  for (const uuid of uuids) assert.match(uuid, /^[0-9a-f]{32}$/)
  const db = await database('listed')
  const names = await couch.db.list()
  assert.ok(names.includes(db.config.db))
  assert.deepEqual(names, [...names].sort())
  const streamed = JSON.parse((await buffer(couch.db.listAsStream())).toString())
  assert.ok(streamed.includes(db.config.db))
})

await check('the life of a database', async () => {
  const name = freshName('life')
  assert.deepEqual(await couch.db.create(name), { ok: true })
  const again = await failure(couch.db.create(name))
  assert.deepEqual([again.statusCode, again.error], [412, 'file_exists'])
  assert.equal((await couch.db.get(name)).db_name, name)
  assert.deepEqual(await couch.db.compact(name), { ok: true })
  assert.deepEqual(await couch.db.destroy(name), { ok: true })
  const gone = await failure(couch.db.get(name))
  assert.deepEqual([gone.statusCode, gone.error], [404, 'not_found'])
  assert.equal((await failure(couch.db.create('Bad Name'))).error, 'illegal_database_name')
})

await check('insert, get, head, update, conflict and destroy', async () => {
  const db = await database('doc')
  const made = await db.insert({ n: 1 }, 'a/b c')
  assert.deepEqual([made.ok, made.id], [true, 'a/b c'])
  assert.equal((await db.get('a/b c')).n, 1)
  assert.equal((await db.head('a/b c')).etag, `"${made.rev}"`)
  assert.equal((await failure(db.insert({ n: 2 }, 'a/b c'))).error, 'conflict')
  const edited = await db.insert({ _id: 'a/b c', _rev: made.rev, n: 2 })
  assert.equal((await db.get('a/b c', { rev: made.rev })).n, 1)
  assert.equal((await db.get('a/b c', { revs_info: true }))._revs_info.length, 2)
  await db.destroy('a/b c', edited.rev)
  const gone = await failure(db.get('a/b c'))
  assert.deepEqual([gone.statusCode, gone.reason], [404, 'deleted'])
  assert.equal((await failure(db.head('never'))).statusCode, 404)
  const posted = await db.insert({ anonymous: true })
  assert.match(posted.id, /^[0-9a-f]{32}$/)
})

await check('a copy made by the COPY method is read with nano', async () => {
  const db = await database('copy')
  await db.insert({ n: 1 }, 'from')
  // nano has no copy, and what it sends in lower case is no method that a server knows.
  const path = `/${db.config.db}/from`
  assert.equal((await request('COPY', path)).status, 400) // no Destination
  const answer = await request('COPY', path, { headers: { destination: 'to' } })
  assert.equal(answer.status, 201)
  const { id, rev } = await answer.json()
  assert.deepEqual([id, (await db.get('to')).n, (await db.get('to'))._rev], ['to', 1, rev])
})

await check('bulk, list, fetch and fetchRevs', async () => {
  const db = await database('bulk')
  const answers = await db.bulk({ docs: numberedDocs(50) })
  assert.equal(answers.filter(({ ok }) => ok).length, 50)
  const again = await db.bulk({ docs: [{ _id: 'doc-000000' }, { _id: 'new' }] })
  assert.deepEqual([again[0].error, again[1].ok], ['conflict', true])
  const list = await db.list({ limit: 3, include_docs: true, startkey: 'doc-000010' })
  assert.deepEqual(list.rows.map(({ doc }) => doc.number), [10, 11, 12])
  assert.deepEqual([list.total_rows, list.offset], [51, 10])
  const streamed = JSON.parse((await buffer(db.listAsStream())).toString())
  assert.equal(streamed.rows.length, 51)
  const fetched = await db.fetch({ keys: ['doc-000001', 'none', 'doc-000002'] })
  assert.deepEqual([fetched.rows[0].doc.number, fetched.rows[1].error, fetched.rows[2].doc.number], [1, 'not_found', 2])
  const revs = await db.fetchRevs({ keys: ['doc-000001'] })
  assert.match(revs.rows[0].value.rev, /^1-/)
  assert.equal(revs.rows[0].doc, undefined)
})

await check('attachments: insert, get, as a stream, destroy', async () => {
  const db = await database('attachment')
  const bytes = noise(1_000_000, 9)
  const text = prose(200_000)
  const one = await db.attachment.insert('doc', 'noise.bin', bytes, 'application/octet-stream')
  const two = await db.attachment.insert('doc', 'prose.txt', text, 'text/plain', { rev: one.rev })
  assert.ok(bytes.equals(await db.attachment.get('doc', 'noise.bin')))
  assert.equal((await db.attachment.get('doc', 'prose.txt')).toString(), text.toString())
  assert.ok(bytes.equals(await buffer(db.attachment.getAsStream('doc', 'noise.bin'))))
  const three = await db.attachment.destroy('doc', 'noise.bin', { rev: two.rev })
  assert.match(three.rev, /^3-/)
  assert.deepEqual(Object.keys((await db.get('doc'))._attachments), ['prose.txt'])
})

await check('multipart: a document with its attachments in one request, and back', async () => {
  const db = await database('multipart')
  const bytes = noise(70_000, 11)
  const text = prose(30_000)
  const made = await db.multipart.insert({ n: 1 }, [
    { name: 'noise.bin', data: bytes, content_type: 'application/octet-stream' },
    { name: 'prose.txt', data: text, content_type: 'text/plain' }
  ], 'doc')
  assert.match(made.rev, /^1-/)
  const doc = await db.get('doc')
  assert.equal(doc.n, 1)
  assert.deepEqual([doc._attachments['noise.bin'].length, doc._attachments['prose.txt'].length], [bytes.length, text.length])
  assert.ok(bytes.equals(await db.attachment.get('doc', 'noise.bin')))
  assert.equal((await db.attachment.get('doc', 'prose.txt')).toString(), text.toString())
  const raw = await db.multipart.get('doc')
  assert.match(raw.toString(), /"follows":true/)
})

await check('changes, as a list and as a continuous stream', async () => {
  const db = await database('changes')
  await db.bulk({ docs: numberedDocs(10) })
  const feed = await db.changes({ limit: 4, include_docs: true })
  assert.equal(feed.results.length, 4)
  assert.equal(feed.pending, 6)
  assert.equal((await db.changes({ since: feed.last_seq })).results.length, 6)
  const stream = db.changesAsStream({ feed: 'continuous', since: 0, timeout: 300 })
  const lines = (await buffer(stream)).toString().split('\n').filter(Boolean).map((line) => JSON.parse(line))
  assert.equal(lines.length, 11)
  assert.equal(lines[10].last_seq, lines[9].seq)
})

await check('changesReader: get reads to the end, start goes on', async () => {
  const db = await database('reader')
  await db.bulk({ docs: numberedDocs(230) })
  const seen = []
  await new Promise((resolve, reject) => {
    db.changesReader.get({ since: '0', batchSize: 100, timeout: 2000 })
      .on('batch', (rows) => seen.push(...rows))
      .on('end', resolve)
      .on('error', reject)
  })
  assert.equal(new Set(seen.map(({ id }) => id)).size, 230)

  const live = []
  const reader = couch.use(db.config.db).changesReader
  const { last_seq: since } = await db.changes({ limit: 0, since: 'now' })
  reader.start({ since, includeDocs: true }).on('change', (row) => live.push(row)).on('error', () => {})
  await db.insert({ late: 1 }, 'late-1')
  await until('the first late change', () => live.some(({ id }) => id === 'late-1'))
  await db.insert({ late: 2 }, 'late-2')
  await until('the second late change', () => live.some(({ id }) => id === 'late-2'))
  assert.equal(live.find(({ id }) => id === 'late-2').doc.late, 2)
  reader.stop()

  const spooled = await new Promise((resolve, reject) => {
    db.changesReader.spool({ since: '0' }).on('batch', resolve).on('error', reject)
  })
  assert.ok(spooled.length > 0)
})

const address = new URL(server)
if (address.username) {
  await check('a session by cookie', async () => {
    const name = freshName('session')
    await couch.db.create(name)
    const stranger = nano(address.origin)
    assert.equal((await stranger.session()).userCtx.name, null)
    assert.equal((await failure(stranger.db.get(name))).statusCode, 401)
    const answer = await stranger.auth(decodeURIComponent(address.username), decodeURIComponent(address.password))
    assert.deepEqual([answer.ok, answer.name], [true, address.username])
    const session = await stranger.session()
    assert.deepEqual([session.userCtx.name, session.info.authenticated], [address.username, 'cookie'])
    await stranger.use(name).insert({ by: 'cookie' }, 'doc')
    assert.equal((await stranger.use(name).get('doc')).by, 'cookie')
    const refused = await failure(nano(address.origin).auth(address.username, 'wrong'))
    assert.deepEqual([refused.statusCode, refused.error], [401, 'unauthorized'])
  })
}

await finish()
