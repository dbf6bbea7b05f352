// Mango as applications use it: a shop with 100,000 documents, asked by PouchDB's pouchdb-find over http and by nano.
// What the server answers is compared with the same question asked of the documents in plain JavaScript.
import assert from 'node:assert/strict'
import nano from 'nano'
import pouchdbFind from 'pouchdb-find'
import { PouchDB, check, failure, finish, freshName, remote, request, server } from './checks.mjs'

PouchDB.plugin(pouchdbFind)

const COUNT = 100_000
const CITIES = ['Aachen', 'Bonn', 'Cork', 'Derby', 'Évora', 'Faro', 'Graz', 'Hull']
const STATES = ['new', 'paid', 'sent', 'done']

// Every third document is a customer, the others are orders.
const documents = Array.from({ length: COUNT }, (_, n) => n % 3 === 0
  ? {
      _id: `customer:${String(n).padStart(6, '0')}`,
      type: 'customer',
      name: `Name ${n % 977}`,
      address: { city: CITIES[n % 8], zip: String(10_000 + n % 500) },
      tags: [n % 5 === 0 ? 'vip' : 'plain', `since-${2000 + n % 20}`],
      ...(n % 2 === 0 ? { email: `c${n}@example.com` } : {})
    }
  : {
      _id: `order:${String(n).padStart(6, '0')}`,
      type: 'order',
      number: n,
      state: STATES[n % 4],
      total: (n * 7919 % 100_000) / 100,
      placed: new Date(Date.UTC(2020, 0, 1 + n % 1_000)).toISOString().slice(0, 10),
      items: [{ sku: `s${n % 50}`, count: n % 4 }, { sku: `s${n % 7}`, count: 1 }]
    })

const orders = documents.filter(({ type }) => type === 'order')
const customers = documents.filter(({ type }) => type === 'customer')
const ids = (docs) => docs.map(({ _id }) => _id)
const db = remote('shop')
const couch = nano(server)
const shop = couch.use(decodeURIComponent(new URL(db.name).pathname.slice(1)))

await check('fill the shop', async () => {
  for (let from = 0; from < COUNT; from += 10_000) {
    const answers = await db.bulkDocs(documents.slice(from, from + 10_000))
    assert.ok(answers.every(({ ok }) => ok))
  }
})

await check('create, list and recreate indexes', async () => {
  for (const fields of [['type', 'placed'], ['number'], ['address.city', 'name'], ['state', 'total']]) {
    assert.equal((await db.createIndex({ index: { fields } })).result, 'created')
    assert.equal((await db.createIndex({ index: { fields } })).result, 'exists')
  }
  const named = { index: { fields: ['email'] }, name: 'by-email', ddoc: 'people', type: 'json' }
  assert.deepEqual(await db.createIndex(named), { result: 'created', id: '_design/people', name: 'by-email' })
  const partial = { index: { fields: ['placed'], partial_filter_selector: { state: { $ne: 'done' } } } }
  assert.equal((await shop.createIndex({ ...partial, ddoc: 'open', name: 'open' })).result, 'created')
  const { indexes } = await db.getIndexes()
  assert.equal(indexes.length, 7)
  assert.deepEqual(indexes[0].def.fields, [{ _id: 'asc' }])
  const open = indexes.find(({ name }) => name === 'open')
  assert.deepEqual(open.def.partial_filter_selector, { state: { $ne: 'done' } })
})

await check('one document by its number', async () => {
  const { docs, warning } = await db.find({ selector: { number: 31_337 } })
  assert.deepEqual(ids(docs), ['order:031337'])
  assert.equal(warning, undefined)
  const { _rev, ...doc } = docs[0]
  assert.deepEqual(doc, documents[31_337])
})

await check('the latest orders of a period, sorted', async () => {
  const selector = { type: 'order', placed: { $gte: '2021-03-01', $lt: '2021-03-03' } }
  const { docs } = await db.find({ selector, sort: [{ type: 'desc' }, { placed: 'desc' }], limit: 1_000 })
  const wanted = orders.filter(({ placed }) => placed >= '2021-03-01' && placed < '2021-03-03')
  assert.deepEqual(ids(docs).sort(), ids(wanted))
  const dates = docs.map(({ placed }) => placed)
  assert.deepEqual(dates, [...dates].sort().reverse())
})

await check('dear orders in one state, only some fields, from the index alone', async () => {
  const selector = { state: 'paid', total: { $gt: 999 } }
  const { docs, execution_stats: stats } = await shop.find({
    selector, fields: ['_id', 'total'], limit: 10_000, execution_stats: true
  })
  const wanted = orders.filter(({ state, total }) => state === 'paid' && total > 999)
  assert.deepEqual(ids(docs).sort(), ids(wanted))
  assert.deepEqual(Object.keys(docs[0]), ['_id', 'total'])
  assert.deepEqual([stats.total_keys_examined, stats.total_docs_examined], [wanted.length, 0])
})

await check('$in and $or read only the keys they name', async () => {
  const numbers = [1, 4, 50_000, 99_999, 123_456, 77_777]
  const wanted = ids(orders.filter(({ number }) => numbers.includes(number)))
  const some = await shop.find({ selector: { number: { $in: numbers } }, execution_stats: true })
  assert.deepEqual(ids(some.docs).sort(), wanted)
  assert.equal(some.execution_stats.total_keys_examined, wanted.length)
  const either = { $or: [{ number: { $lt: 20 } }, { number: { $gte: 99_980 } }] }
  const { docs, execution_stats: stats } = await shop.find({ selector: either, limit: 100, execution_stats: true })
  assert.deepEqual(ids(docs).sort(), ids(orders.filter(({ number }) => number < 20 || number >= 99_980)))
  assert.equal(stats.total_keys_examined, docs.length)
  const byId = ['customer:000003', 'order:000004', 'nobody']
  assert.deepEqual(ids((await db.find({ selector: { _id: { $in: byId } } })).docs), byId.slice(0, 2))
})

await check('nested fields, strings in their order, regular expressions', async () => {
  const selector = { 'address.city': { $gt: 'Derby', $lt: 'Faro' }, name: { $regex: '^Name 9[0-9]$' } }
  const { docs } = await db.find({ selector, limit: 5_000 })
  const wanted = customers.filter(({ name, address }) => address.city === 'Évora' && /^Name 9[0-9]$/.test(name))
  assert.deepEqual(ids(docs).sort(), ids(wanted))
  assert.ok(wanted.length > 20)
})

await check('customers without an address of mail, by a scan that warns', async () => {
  const selector = { type: 'customer', email: { $exists: false }, tags: { $all: ['vip'] } }
  const { docs } = await db.find({ selector, limit: COUNT })
  const wanted = customers.filter(({ email, tags }) => !email && tags.includes('vip'))
  assert.deepEqual(ids(docs), ids(wanted))
  const scanned = await db.find({ selector: { tags: { $elemMatch: { $eq: 'since-2001' } } }, limit: 1 })
  assert.match(scanned.warning, /No matching index found/)
})

await check('orders that hold an article, by elements', async () => {
  const selector = { type: 'order', items: { $elemMatch: { sku: 's49', count: { $gte: 3 } } } }
  const { docs } = await db.find({ selector, limit: COUNT })
  const wanted = orders.filter(({ items }) => items.some(({ sku, count }) => sku === 's49' && count >= 3))
  assert.deepEqual(ids(docs).sort(), ids(wanted))
  assert.ok(wanted.length > 100)
})

await check('pages by bookmark, then by skip', async () => {
  const selector = { state: 'new', total: { $gte: 500 } }
  const wanted = ids(orders.filter(({ state, total }) => state === 'new' && total >= 500))
  const seen = []
  let bookmark
  for (;;) {
    const page = await shop.find({ selector, fields: ['_id'], limit: 2_000, bookmark })
    if (page.docs.length === 0) break
    seen.push(...ids(page.docs))
    bookmark = page.bookmark
  }
  assert.deepEqual([...seen].sort(), wanted)
  const second = await db.find({ selector, fields: ['_id'], limit: 10, skip: 10 })
  assert.deepEqual(ids(second.docs), seen.slice(10, 20))
})

await check('a partial index is used where it is asked for', async () => {
  const selector = { placed: '2022-01-05', state: { $ne: 'done' } }
  const { docs, warning } = await db.find({ selector, use_index: ['open', 'open'], limit: 1_000 })
  assert.equal(warning, undefined)
  const wanted = orders.filter(({ placed, state }) => placed === '2022-01-05' && state !== 'done')
  assert.deepEqual(ids(docs).sort(), ids(wanted))
})

await check('what is explained is what is done', async () => {
  const explained = await db.explain({ selector: { state: 'sent', total: { $lt: 1 } }, fields: ['_id'] })
  assert.deepEqual(explained.index.def.fields, [{ state: 'asc' }, { total: 'asc' }])
  assert.deepEqual(explained.mrargs.start_key, ['sent'])
  assert.deepEqual(explained.mrargs.end_key, ['sent', 1, '<MAX>'])
  assert.equal(explained.covering, true)
  const reasons = explained.index_candidates.flatMap(({ analysis }) => analysis.reasons.map(({ name }) => name))
  assert.ok(reasons.includes('field_mismatch') && reasons.includes('unfavored_type'))
})

await check('an index follows edits and deletions', async () => {
  const doc = await db.get('order:000001')
  await db.put({ ...doc, number: 5_000_000 })
  await db.remove(await db.get('order:000002'))
  assert.deepEqual(ids((await db.find({ selector: { number: { $gte: 5_000_000 } } })).docs), ['order:000001'])
  assert.deepEqual((await db.find({ selector: { number: { $lte: 4 } } })).docs.map(({ number }) => number), [4])
})

await check('how many there are', async () => {
  const ask = (body) => request('POST', `/${shop.config.db}/_find`, { json: body }).then((answer) => answer.json())
  const counted = await ask({ selector: { state: 'done', total: { $gte: 100 } }, count: true, execution_stats: true })
  assert.equal(counted.count, orders.filter(({ state, total }) => state === 'done' && total >= 100).length)
  assert.deepEqual([counted.docs, counted.execution_stats.total_keys_examined], [[], 0])
  const scanned = await ask({ selector: { type: 'customer', tags: { $all: ['vip'] } }, count: true })
  assert.equal(scanned.count, customers.filter(({ tags }) => tags.includes('vip')).length)
})

await check('what cannot be asked is refused, indexes are deleted', async () => {
  const unsorted = await failure(db.find({ selector: { type: 'order' }, sort: ['total'] }))
  assert.deepEqual([unsorted.status, unsorted.error], [400, 'no_usable_index'])
  assert.equal((await failure(db.find({ selector: { a: { $nope: 1 } } }))).error, 'invalid_operator')
  const named = (await db.getIndexes()).indexes.find(({ name }) => name === 'by-email')
  assert.deepEqual(await db.deleteIndex(named), { ok: true })
  assert.equal((await db.getIndexes()).indexes.length, 6)
  assert.equal((await failure(db.deleteIndex(named))).status, 404)
})

await check('documents that a selector does not want are forbidden', async () => {
  const films = couch.use(freshName('films'))
  await couch.db.create(films.config.db)
  const rule = { newDoc: { type: 'film', year: { $gt: 1888 } } }
  await films.insert({ language: 'query', validate_doc_update: rule }, '_design/rules')
  assert.equal((await films.insert({ type: 'film', year: 1927 }, 'metropolis')).ok, true)
  const refused = await failure(films.insert({ type: 'film', year: 1500 }, 'none'))
  assert.deepEqual([refused.statusCode, refused.error, refused.reason], [403, 'forbidden', 'document is not valid'])
  const wrong = { language: 'query', validate_doc_update: { newDoc: { a: { $nope: 1 } } } }
  assert.equal((await failure(films.insert(wrong, '_design/wrong'))).error, 'compilation_error')
})

await finish()
