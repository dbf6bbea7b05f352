// filter=_view shows the same whether the view is built or not: documents, changes that the index does not know yet,
// conflicts, tombstones, and a map that fails. There are enough documents for a built view to be asked.
import assert from 'node:assert/strict'
import { check, finish, remote } from './checks.mjs'

const few = 'function (doc) { if (doc.n % 100 == 1) emit(doc.n, doc); }'
const fails = 'function (doc) { if (doc.n == 7777) emit(doc.a.b); if (doc.n == 1) emit(1); }'

const passing = async (db, view) => {
  const { results } = await db.changes({ filter: '_view', view, since: 0 })
  return results.map(row => row.id)
}

await check('a feed through a view that is built', async () => {
  const db = remote('view-filter')
  await db.put({ _id: '_design/d', views: { few: { map: few } } })
  const documents = Array.from({ length: 5000 }, (_, n) => ({ _id: `x${n}`, n }))
  await db.bulkDocs(documents)
  await db.remove(await db.get('x101'))
  const conflict = { _id: 'x201', _rev: `1-${'a'.repeat(32)}`, n: 5 }
  await db.bulkDocs([conflict], { new_edits: false })
  await db.query('d/few', { limit: 0 })
  const expected = documents.filter(({ n }) => n % 100 === 1 && n !== 101).map(({ _id }) => _id)
  const winner = await db.get('x201')
  const shown = expected.filter(id => id !== 'x201' || winner.n === 201).sort()
  assert.deepEqual((await passing(db, 'd/few')).sort(), shown)

  await db.put({ ...await db.get('x7'), n: 301 })
  await db.put({ ...await db.get('x401'), n: 2 })
  const now = shown.filter(id => id !== 'x401').concat('x7').sort()
  assert.deepEqual((await passing(db, 'd/few')).sort(), now, 'changes that the index does not know')
  await db.query('d/few', { limit: 0 })
  assert.deepEqual((await passing(db, 'd/few')).sort(), now)

  const copy = remote('view-filter-copy')
  const { docs_written: written } = await copy.replicate.from(db, { filter: '_view', view: 'd/few' })
  assert.equal(written, now.length)
})

await check('a map that fails fails its feed, built or not', async () => {
  const db = remote('view-filter-fails')
  await db.put({ _id: '_design/d', views: { fails: { map: fails } } })
  await db.bulkDocs(Array.from({ length: 2000 }, (_, n) => ({ _id: `x${n}`, n })))
  await db.query('d/fails', { limit: 0 })
  assert.deepEqual(await passing(db, 'd/fails'), ['x1'])
  const { id, rev } = await db.put({ _id: 'bad', n: 7777 })
  await db.query('d/fails', { limit: 0 })
  await assert.rejects(passing(db, 'd/fails'))
  await db.remove(id, rev)
  await db.query('d/fails', { limit: 0 })
  assert.deepEqual(await passing(db, 'd/fails'), ['x1'])
})

await finish()
