// PouchDB as a plain client of the server: its http adapter's own calls, one after the other.
import assert from 'node:assert/strict'
import { check, failure, finish, freshName, noise, numberedDocs, PouchDB, remote, server, until } from './checks.mjs'

const ids = ({ rows }) => rows.map((row) => row.id ?? row.key)
const HEX = (digit) => digit.repeat(32)

await check('info names the database and counts', async () => {
  const db = remote('info')
  await db.bulkDocs(numberedDocs(7))
  const info = await db.info()
  assert.equal(info.db_name, db.name.split('/').pop())
  assert.equal(info.doc_count, 7)
  assert.ok(info.update_seq)
})

await check('put, get, edit, conflict and remove', async () => {
  const db = remote('life')
  const made = await db.put({ _id: 'a', n: 1 })
  assert.match(made.rev, /^1-[0-9a-f]{32}$/)
  assert.deepEqual(await db.get('a'), { _id: 'a', _rev: made.rev, n: 1 })
  const again = await failure(db.put({ _id: 'a', n: 2 }))
  assert.deepEqual([again.status, again.name], [409, 'conflict'])
  const edited = await db.put({ _id: 'a', _rev: made.rev, n: 2 })
  assert.match(edited.rev, /^2-/)
  assert.equal((await failure(db.put({ _id: 'a', _rev: made.rev, n: 3 }))).status, 409)
  const removed = await db.remove('a', edited.rev)
  assert.match(removed.rev, /^3-/)
  const gone = await failure(db.get('a'))
  assert.deepEqual([gone.status, gone.error, gone.reason], [404, 'not_found', 'deleted'])
  assert.equal((await failure(db.get('never'))).reason, 'missing')
  const posted = await db.post({ anonymous: true })
  assert.equal((await db.get(posted.id)).anonymous, true)
})

await check('get with rev, revs, revs_info, open_revs and conflicts', async () => {
  const db = remote('get')
  await db.bulkDocs([
    { _id: 'a', _rev: `1-${HEX('1')}`, n: 1 },
    { _id: 'a', _rev: `2-${HEX('2')}`, _revisions: { start: 2, ids: [HEX('2'), HEX('1')] }, n: 2 },
    { _id: 'a', _rev: `2-${HEX('3')}`, _revisions: { start: 2, ids: [HEX('3'), HEX('1')] }, n: 3 }
  ], { new_edits: false })
  const doc = await db.get('a', { revs: true, revs_info: true, conflicts: true })
  assert.equal(doc.n, 3)
  assert.deepEqual(doc._revisions, { start: 2, ids: [HEX('3'), HEX('1')] })
  assert.deepEqual(doc._revs_info, [{ rev: `2-${HEX('3')}`, status: 'available' }, { rev: `1-${HEX('1')}`, status: 'available' }])
  assert.deepEqual(doc._conflicts, [`2-${HEX('2')}`])
  assert.equal((await db.get('a', { rev: `2-${HEX('2')}` })).n, 2)
  assert.equal((await db.get('a', { rev: `1-${HEX('1')}` })).n, 1)
  const all = await db.get('a', { open_revs: 'all' })
  assert.deepEqual(all.map(({ ok }) => ok.n).sort(), [2, 3])
  const some = await db.get('a', { open_revs: [`2-${HEX('2')}`, `9-${HEX('9')}`] })
  assert.equal(some.find(({ ok }) => ok).ok.n, 2)
  assert.equal(some.find(({ missing }) => missing).missing, `9-${HEX('9')}`)
  assert.deepEqual((await db.get('a', { rev: `1-${HEX('1')}`, open_revs: [`1-${HEX('1')}`], latest: true })).length, 2)
})

await check('bulkDocs answers for each document by itself', async () => {
  const db = remote('bulk')
  const { rev } = await db.put({ _id: 'b' })
  const answers = await db.bulkDocs([{ _id: 'a' }, { _id: 'b' }, { _id: 'b', _rev: rev, edited: 1 }, { no: 'id' }, { _id: '_bad' }].slice(0, 4))
  assert.equal(answers[0].ok, true)
  assert.deepEqual([answers[1].status, answers[1].name], [409, 'conflict'])
  assert.equal(answers[1].id, 'b')
  assert.match(answers[2].rev, /^2-/)
  assert.ok(answers[3].id)
  assert.equal((await db.info()).doc_count, 3)
})

await check('allDocs with all its options', async () => {
  const db = remote('all-docs')
  await db.bulkDocs(['a', 'b', 'c', 'd', 'e'].map((_id, n) => ({ _id, n })))
  const { _rev: rev } = await db.get('c')
  await db.remove('c', rev)
  const plain = await db.allDocs()
  assert.deepEqual(ids(plain), ['a', 'b', 'd', 'e'])
  assert.deepEqual([plain.total_rows, plain.offset], [4, 0])
  assert.match(plain.rows[0].value.rev, /^1-/)
  assert.deepEqual(ids(await db.allDocs({ startkey: 'b', endkey: 'd' })), ['b', 'd'])
  assert.deepEqual(ids(await db.allDocs({ startkey: 'b', endkey: 'd', inclusive_end: false })), ['b'])
  assert.deepEqual(ids(await db.allDocs({ descending: true })), ['e', 'd', 'b', 'a'])
  assert.deepEqual(ids(await db.allDocs({ descending: true, startkey: 'd', endkey: 'b' })), ['d', 'b'])
  assert.deepEqual(ids(await db.allDocs({ skip: 1, limit: 2 })), ['b', 'd'])
  assert.deepEqual(ids(await db.allDocs({ limit: 0 })), [])
  assert.deepEqual(ids(await db.allDocs({ key: 'b' })), ['b'])
  assert.equal((await db.allDocs({ key: 'b', include_docs: true })).rows[0].doc.n, 1)
  const { rows } = await db.allDocs({ keys: ['e', 'c', 'x', 'a', 'e'], include_docs: true })
  assert.deepEqual(rows.map((row) => row.key), ['e', 'c', 'x', 'a', 'e'])
  assert.deepEqual([rows[0].doc.n, rows[1].value.deleted, rows[1].doc, rows[2].error, rows[3].doc.n],
    [4, true, null, 'not_found', 0])
  const withConflicts = await db.allDocs({ include_docs: true, conflicts: true, update_seq: true })
  assert.ok(withConflicts.update_seq)
})

await check('changes: since, limit, descending, style, include_docs, doc_ids, last_seq', async () => {
  const db = remote('changes')
  await db.bulkDocs(numberedDocs(5))
  await db.bulkDocs([
    { _id: 'two', _rev: `1-${HEX('a')}` }, { _id: 'two', _rev: `1-${HEX('b')}` }
  ], { new_edits: false })
  const all = await db.changes({ since: 0 })
  assert.equal(all.results.length, 6)
  const first = await db.changes({ since: 0, limit: 2 })
  assert.equal(first.results.length, 2)
  assert.equal(first.last_seq, first.results[1].seq)
  const rest = await db.changes({ since: first.last_seq })
  assert.deepEqual([...first.results, ...rest.results].map((row) => row.id), all.results.map((row) => row.id))
  const backwards = await db.changes({ since: 0, descending: true })
  assert.deepEqual(backwards.results.map((row) => row.id), all.results.map((row) => row.id).reverse())
  const two = (feed) => feed.results.find((row) => row.id === 'two').changes.map(({ rev }) => rev)
  assert.deepEqual(two(all), [`1-${HEX('b')}`])
  assert.deepEqual(two(await db.changes({ since: 0, style: 'all_docs' })), [`1-${HEX('b')}`, `1-${HEX('a')}`])
  const docs = await db.changes({ since: 0, include_docs: true, conflicts: true })
  assert.deepEqual(docs.results.find((row) => row.id === 'two').doc._conflicts, [`1-${HEX('a')}`])
  assert.equal((await db.changes({ since: 0, doc_ids: ['two', 'doc-000001', 'x'] })).results.length, 2)
  assert.deepEqual((await db.changes({ since: 'now' })).results, [])
})

await check('changes by selector', async () => {
  const db = remote('changes-selector')
  await db.bulkDocs(numberedDocs(20))
  const feed = await db.changes({ since: 0, selector: { $or: [{ number: 3 }, { number: { $in: [5, 7] } }] } })
  assert.deepEqual(feed.results.map((row) => row.id).sort(), ['doc-000003', 'doc-000005', 'doc-000007'])
})

await check('live changes deliver what is written later, in order, and stop', async () => {
  const db = remote('live-changes')
  await db.put({ _id: 'before' })
  const seen = []
  const feed = db.changes({ live: true, since: 'now', include_docs: true, heartbeat: 1000 })
  const ended = new Promise((resolve, reject) => feed.on('complete', resolve).on('error', reject))
  feed.on('change', (change) => seen.push(change))
  // Writes until the feed is seen to listen: `since: 'now'` begins whenever its first request arrives.
  let probes = 0
  await until('the feed listens', async () => {
    if (seen.length === 0) await db.put({ _id: `probe-${probes += 1}` })
    return seen.length > 0
  })
  for (const doc of numberedDocs(20)) await db.put(doc)
  const numbered = () => seen.filter(({ id }) => id.startsWith('doc-'))
  await until('20 changes', () => numbered().length === 20)
  feed.cancel()
  await ended
  assert.deepEqual(numbered().map(({ doc }) => doc.number), Array.from({ length: 20 }, (_, n) => n))
  assert.ok(!seen.some(({ id }) => id === 'before'))
})

await check('attachments: put, get, remove, with odd names', async () => {
  const db = remote('attachments')
  const bytes = noise(100_000, 3)
  const made = await db.putAttachment('doc', 'dir/ä b.bin', bytes, 'application/octet-stream')
  assert.ok(bytes.equals(await db.getAttachment('doc', 'dir/ä b.bin', {})))
  assert.equal((await db.get('doc'))._attachments['dir/ä b.bin'].length, bytes.length)
  assert.equal((await failure(db.putAttachment('doc', 'x', `1-${HEX('0')}`, bytes, 'text/plain'))).status, 409)
  const removed = await db.removeAttachment('doc', 'dir/ä b.bin', made.rev)
  assert.match(removed.rev, /^2-/)
  assert.equal((await failure(db.getAttachment('doc', 'dir/ä b.bin', {}))).status, 404)
})

await check('revsDiff says what is missing and what may be an ancestor', async () => {
  const db = remote('revs-diff')
  const { rev } = await db.put({ _id: 'a' })
  const diff = await db.revsDiff({ a: [rev, `2-${HEX('2')}`], b: [`1-${HEX('1')}`], same: [] })
  assert.deepEqual(diff.a.missing, [`2-${HEX('2')}`])
  assert.deepEqual(diff.b.missing, [`1-${HEX('1')}`])
  assert.deepEqual(await db.revsDiff({ a: [rev] }), {})
})

await check('bulkGet with and without revisions, of missing ones too', async () => {
  const db = remote('bulk-get')
  const { rev } = await db.put({ _id: 'a', n: 1 })
  const { results } = await db.bulkGet({ docs: [{ id: 'a' }, { id: 'a', rev }, { id: 'nope', rev: `1-${HEX('1')}` }], revs: true })
  assert.deepEqual(results.map(({ id }) => id).sort(), ['a', 'a', 'nope'])
  for (const { id, docs } of results) {
    if (id === 'nope') {
      assert.deepEqual([docs[0].error.error, docs[0].error.rev], ['not_found', `1-${HEX('1')}`])
    } else {
      assert.equal(docs[0].ok.n, 1)
      assert.deepEqual(docs[0].ok._revisions.start, 1)
    }
  }
})

await check('_local documents are kept apart and not replicated', async () => {
  const db = remote('local-docs')
  await db.put({ _id: '_local/checkpoint', seq: 1 })
  const doc = await db.get('_local/checkpoint')
  assert.equal(doc.seq, 1)
  await db.put({ ...doc, seq: 2 })
  assert.equal((await db.get('_local/checkpoint')).seq, 2)
  assert.deepEqual((await db.changes({ since: 0 })).results, [])
  assert.deepEqual((await db.allDocs()).rows, [])
  await db.remove(await db.get('_local/checkpoint'))
  assert.equal((await failure(db.get('_local/checkpoint'))).status, 404)
})

await check('compact is accepted and keeps the documents', async () => {
  const db = remote('compact')
  const { rev } = await db.put({ _id: 'a', n: 1 })
  await db.put({ _id: 'a', _rev: rev, n: 2 })
  await db.compact({ interval: 50 })
  assert.equal((await db.get('a')).n, 2)
})

await check('values survive the round trip', async () => {
  const db = remote('values')
  const values = { zero: 0, minus: -1.5, tiny: 1e-7, big: 9007199254740991, text: 'ü🛋️\u0000\u2028"\\', list: [[], {}, null, false], '': 'empty name', 'ключ': 1 }
  await db.put({ _id: 'v', ...values })
  const { _id, _rev, ...got } = await db.get('v')
  assert.deepEqual(got, values)
})

await check('a database is made on first use and destroyed', async () => {
  const name = freshName('destroy')
  const db = new PouchDB(`${server}/${name}`)
  await db.put({ _id: 'a' })
  await db.destroy()
  const after = new PouchDB(`${server}/${name}`, { skip_setup: true })
  assert.equal((await failure(after.get('a'))).status, 404)
})

if (new URL(server).username) {
  await check('the wrong password is refused', async () => {
    const url = new URL(`${server}/${freshName('wrong')}`)
    url.password = 'wrong'
    const error = await failure(new PouchDB(url.href, { skip_setup: true }).get('a'))
    assert.equal(error.status, 401)
  })

  await check('the auth option logs in', async () => {
    const url = new URL(`${server}/${freshName('auth-option')}`)
    const auth = { username: url.username, password: url.password }
    url.username = url.password = ''
    const db = new PouchDB(url.href, { auth })
    await db.put({ _id: 'a' })
    assert.equal((await db.info()).doc_count, 1)
  })
}

await finish()
