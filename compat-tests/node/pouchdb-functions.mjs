// PouchDB and the functions of design documents on the server: filtered changes and replications, and documents
// that a validation function refuses.
import assert from 'node:assert/strict'
import { check, failure, finish, local, numberedDocs, remote, request, until } from './checks.mjs'

const functions = {
  filters: {
    even: 'function (doc) { return doc.even === true }',
    from: 'function (doc, req) { return doc.number >= Number(req.query.from) }'
  },
  views: { odd: { map: 'function (doc) { if (doc.even === false) emit(doc.number) }' } }
}
const refuse = `function (newDoc, oldDoc, userCtx) {
  if (newDoc.number % 10 === 3) throw { forbidden: 'no threes' }
  if (newDoc.number % 10 === 4) throw { unauthorized: 'no fours' }
}`

await check('changes pass a filter, with parameters', async () => {
  const db = remote('filtered')
  await db.put({ _id: '_design/app', ...functions })
  await db.bulkDocs(numberedDocs(100))
  const even = await db.changes({ filter: 'app/even', include_docs: true })
  assert.equal(even.results.length, 50)
  assert.ok(even.results.every((row) => row.doc.even))
  const late = await db.changes({ filter: 'app/from', query_params: { from: 90 } })
  assert.deepEqual(late.results.map((row) => row.id).sort(), numberedDocs(100).slice(90).map((doc) => doc._id))
  const odd = await db.changes({ filter: '_view', view: 'app/odd' })
  assert.equal(odd.results.length, 50)
  const missing = await failure(db.changes({ filter: 'app/none' }))
  assert.equal(missing.status, 404)
})

await check('live changes pass a filter', async () => {
  const db = remote('live-filtered')
  await db.put({ _id: '_design/app', ...functions })
  const seen = []
  const feed = db.changes({ live: true, since: 'now', filter: 'app/even', include_docs: true })
  feed.on('change', (row) => seen.push(row.doc.number))
  feed.on('error', (error) => seen.push(error))
  for (const doc of numberedDocs(20)) await db.put(doc)
  await until('ten even documents have come', () => seen.length >= 10)
  feed.cancel()
  assert.deepEqual(seen, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
})

await check('a filtered replication brings what passes, once and live', async () => {
  const [db, client] = [remote('filtered-source'), local('filtered-target')]
  await db.put({ _id: '_design/app', ...functions })
  await db.bulkDocs(numberedDocs(100))
  const options = { filter: 'app/from', query_params: { from: 50 } }
  const once = await client.replicate.from(db, options)
  assert.deepEqual([once.docs_written, once.doc_write_failures], [50, 0])
  const live = client.replicate.from(db, { ...options, live: true, retry: true })
  await db.bulkDocs([{ _id: 'later', number: 77 }, { _id: 'little', number: 7 }, { _id: 'last', number: 78 }])
  await until('the last one has come', () => client.get('last').catch(() => null))
  live.cancel()
  assert.equal((await client.info()).doc_count, 52)
  assert.equal((await failure(client.get('little'))).status, 404)
})

await check('a replication goes on past refused documents and counts them', async () => {
  const [db, client] = [remote('refusing'), local('refused')]
  await db.put({ _id: '_design/app', validate_doc_update: refuse })
  await client.bulkDocs(numberedDocs(100))
  const denied = []
  const replication = client.replicate.to(db)
  replication.on('denied', (refusal) => denied.push(refusal))
  const result = await replication
  assert.deepEqual([result.ok, result.docs_written, result.doc_write_failures], [true, 80, 20])
  assert.equal(denied.length, 20)
  assert.deepEqual([...new Set(denied.map((refusal) => refusal.name))].sort(), ['forbidden', 'unauthorized'])
  assert.equal((await db.info()).doc_count, 81)
  const again = await client.replicate.to(db)
  assert.equal(again.docs_read, 0)
})

await check('a live push goes on past refused documents', async () => {
  const [db, client] = [remote('refusing-live'), local('refused-live')]
  await db.put({ _id: '_design/app', validate_doc_update: refuse })
  let denied = 0
  const push = client.replicate.to(db, { live: true, retry: true })
  push.on('denied', () => { denied += 1 })
  for (const doc of numberedDocs(20)) await client.put(doc)
  await until('16 documents are there', async () => (await db.info()).doc_count === 17)
  await until('4 are refused', () => denied === 4)
  push.cancel()
})

await check('a refused write says why', async () => {
  const db = remote('refused-put')
  await db.put({ _id: '_design/app', validate_doc_update: refuse })
  const forbidden = await failure(db.put({ _id: 'a', number: 3 }))
  assert.deepEqual([forbidden.status, forbidden.name, forbidden.message], [403, 'forbidden', 'no threes'])
  const unauthorized = await failure(db.put({ _id: 'a', number: 4 }))
  assert.deepEqual([unauthorized.status, unauthorized.name], [401, 'unauthorized'])
  const [one, two] = await db.bulkDocs([{ _id: 'b', number: 13 }, { _id: 'c', number: 5 }])
  assert.deepEqual([one.name, two.ok], ['forbidden', true])
  const name = db.name.split('/').pop()
  const purged = await request('GET', `/${name}/b`)
  assert.equal(purged.status, 404)
})

await finish()
