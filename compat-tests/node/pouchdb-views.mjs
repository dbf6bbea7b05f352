// PouchDB's query() over HTTP: maps, every kind of reduce, ranges, keys and groups; and what is the same in PouchDB's
// own memory adapter is compared with it.
import assert from 'node:assert/strict'
import { check, failure, finish, local, remote, request, until } from './checks.mjs'

const SENSORS = ['attic', 'cellar', 'garden', 'kitchen', 'loft']
const readings = Array.from({ length: 200 }, (_, n) => ({
  _id: `reading-${String(n).padStart(4, '0')}`,
  sensor: SENSORS[n % SENSORS.length],
  at: [2024, 1 + n % 12, 1 + n % 28],
  value: (n * 37 % 100) / 4,
  tags: n % 3 ? ['a'] : ['a', 'b']
}))

const sources = {
  by_sensor: { map: 'function (doc) { emit(doc.sensor, doc.value) }' },
  by_date: { map: 'function (doc) { emit(doc.at, doc.value) }', reduce: '_sum' },
  counted: { map: 'function (doc) { emit([doc.sensor, doc.at[1]], null) }', reduce: '_count' },
  statistics: { map: 'function (doc) { emit(doc.sensor, doc.value) }', reduce: '_stats' },
  distinct: { map: 'function (doc) { emit(doc.sensor, null) }', reduce: '_approx_count_distinct' },
  first: { map: 'function (doc) { emit(doc.value, doc._id) }', reduce: '_first' },
  last: { map: 'function (doc) { emit(doc.value, doc._id) }', reduce: '_last' },
  top: { map: 'function (doc) { emit(doc.sensor, doc.value) }', reduce: '_top_3' },
  bottom: { map: 'function (doc) { emit(doc.sensor, doc.value) }', reduce: '_bottom_2' },
  vectors: { map: 'function (doc) { emit(doc.sensor, [1, doc.value]) }', reduce: '_sum' },
  objects: { map: 'function (doc) { emit(doc.sensor, {n: 1, of: {v: doc.value}}) }', reduce: '_sum' },
  longest: {
    map: 'function (doc) { emit(doc.sensor, doc._id.length + doc.value) }',
    reduce: 'function (keys, values, rereduce) { return Math.max.apply(Math, values) }'
  },
  mean: {
    map: 'function (doc) { emit(doc.sensor, doc.value) }',
    reduce: `function (keys, values, rereduce) {
      if (rereduce) { return {n: sum(values.map(function (v) { return v.n })), s: sum(values.map(function (v) { return v.s }))} }
      return {n: values.length, s: sum(values)}
    }`
  },
  tags: { map: 'function (doc) { doc.tags.forEach(function (tag) { emit(tag, {_id: doc._id}) }) }' }
}
const views = Object.fromEntries(Object.entries(sources).map(([name, view]) => [name, { ...view }]))

const db = remote('views')
const mirror = local('views')
for (const target of [db, mirror]) {
  await target.bulkDocs(readings)
  await target.put({ _id: '_design/sensors', views })
}
const of = (name) => `sensors/${name}`
const same = async (name, options) => {
  const [theirs, ours] = [await db.query(of(name), options), await mirror.query(of(name), options)]
  // PouchDB computes revisions in its own way.
  const plain = ({ rows }) => JSON.parse(JSON.stringify(rows, (name, value) => (name === '_rev' ? '' : value)))
  assert.deepEqual(plain(theirs), plain(ours), `${name} ${JSON.stringify(options)}`)
  assert.ok(theirs.rows.length > 0, `${name} ${JSON.stringify(options)} found nothing`)
  return theirs
}
const values = (name) => readings.filter(({ sensor }) => sensor === name).map(({ value }) => value)

await check('maps, in both directions, with limits and skips', async () => {
  const all = await db.query(of('by_date'), { reduce: false })
  assert.deepEqual([all.total_rows, all.offset, all.rows.length], [200, 0, 200])
  for (const options of [
    {}, { descending: true }, { limit: 7 }, { skip: 5, limit: 3 }, { descending: true, skip: 190 },
    { startkey: [2024, 3] }, { startkey: [2024, 3], endkey: [2024, 3, {}] }, { endkey: [2024, 2, 9], inclusive_end: false },
    { startkey: [2024, 6, {}], endkey: [2024, 5], descending: true }, { key: [2024, 1, 1] }, { keys: [[2024, 2, 2], [2024, 1, 1], [2024, 2, 2]] }
  ]) await same('by_date', { reduce: false, ...options })
})

await check('strings in their order, and documents with the rows', async () => {
  const { rows } = await db.query(of('by_sensor'))
  assert.deepEqual([...new Set(rows.map(({ key }) => key))], ['attic', 'cellar', 'garden', 'kitchen', 'loft'])
  const some = await same('by_sensor', { key: 'garden', include_docs: true, limit: 4 })
  assert.equal(some.rows[0].doc._id, some.rows[0].id)
  const linked = await same('tags', { key: 'b', include_docs: true, limit: 3 })
  assert.equal(linked.rows[0].doc.sensor, 'attic')
  const page = await db.query(of('by_sensor'), { startkey: 'cellar', endkey: 'garden', update_seq: true })
  assert.deepEqual([page.offset, page.rows.length, typeof page.update_seq], [40, 80, 'string'])
})

await check('strings sort as people sort them, not by their codes', async () => {
  const words = remote('words')
  await words.bulkDocs(['Zoo', 'apple', 'Apple', 'étage', 'zebra', 'eagle', 'fig', '_x', '10', '9'].map((word) => ({ word })))
  await words.put({ _id: '_design/words', views: { all: { map: 'function (doc) { emit(doc.word, null) }' } } })
  const { rows } = await words.query('words/all')
  assert.deepEqual(rows.map(({ key }) => key), ['_x', '10', '9', 'apple', 'Apple', 'eagle', 'étage', 'fig', 'zebra', 'Zoo'])
})

await check('_sum, _count and _stats agree with PouchDB', async () => {
  for (const [name, options] of [
    ['by_date', {}], ['by_date', { group_level: 1 }], ['by_date', { group_level: 2 }], ['by_date', { group: true }],
    ['by_date', { startkey: [2024, 2], endkey: [2024, 4], group_level: 2 }], ['by_date', { group_level: 2, descending: true, limit: 2 }],
    ['counted', { group_level: 1 }], ['counted', { group: true, keys: [['cellar', 2], ['attic', 1]] }], ['counted', {}],
    ['statistics', {}], ['statistics', { group: true }], ['statistics', { key: 'attic' }]
  ]) await same(name, options)
})

await check('sums of arrays and of objects', async () => {
  const total = values('attic').reduce((one, two) => one + two)
  const row = async (name) => (await db.query(of(name), { key: 'attic', group: true })).rows
  assert.deepEqual(await row('vectors'), [{ key: 'attic', value: [40, total] }])
  assert.deepEqual(await row('objects'), [{ key: 'attic', value: { n: 40, of: { v: total } } }])
})

await check('_approx_count_distinct, _first, _last, _top_N and _bottom_N', async () => {
  const value = async (name, options) => (await db.query(of(name), options)).rows[0].value
  assert.equal(await value('distinct'), 5)
  const byValue = [...readings].sort((one, two) => one.value - two.value || (one._id < two._id ? -1 : 1))
  assert.equal(await value('first'), byValue[0]._id)
  assert.equal(await value('last'), byValue.at(-1)._id)
  for (const [name, order, count] of [['top', -1, 3], ['bottom', 1, 2]]) {
    const distinct = [...new Set(values('cellar'))].sort((one, two) => order * (one - two)).slice(0, count)
    assert.deepEqual(await value(name, { key: 'cellar' }), distinct)
  }
})

await check('reduces in JavaScript', async () => {
  for (const name of ['longest', 'mean']) {
    await same(name, {})
    await same(name, { group: true })
    await same(name, { startkey: 'b', endkey: 'h' })
  }
})

await check('an index follows edits and removals', async () => {
  for (const target of [db, mirror]) {
    const doc = await target.get('reading-0000')
    await target.put({ ...doc, sensor: 'roof', value: 1000 })
    await target.remove(await target.get('reading-0001'))
    await target.put({ _id: 'reading-new', sensor: 'roof', at: [2025, 1, 1], value: 3, tags: [] })
  }
  for (const name of ['statistics', 'longest', 'mean', 'counted']) await same(name, { group: true })
  assert.deepEqual((await db.query(of('last'))).rows[0].value, 'reading-0000')
})

await check('what is asked wrongly', async () => {
  for (const [name, options, status] of [
    ['nothing', {}, 404], ['by_sensor', { reduce: true }, 400], ['by_sensor', { group: true }, 400],
    ['counted', { keys: [['attic', 1], ['garden', 3]] }, 400]
  ]) assert.equal((await failure(db.query(of(name), options))).status, status, name)
  assert.equal((await failure(db.query('nowhere/nothing'))).status, 404)
})

await check('stale answers, and cleaning up', async () => {
  await db.put({ _id: 'late', sensor: 'shed', value: 1, at: [2026, 1, 1], tags: [] })
  assert.equal((await db.query(of('by_sensor'), { key: 'shed', stale: 'ok' })).rows.length, 0)
  await db.query(of('by_sensor'), { key: 'shed', stale: 'update_after' })
  await until('the lazy update', async () => (await db.query(of('by_sensor'), { key: 'shed', stale: 'ok' })).rows.length === 1)
  await db.viewCleanup()
  assert.equal((await db.query(of('by_sensor'), { key: 'shed' })).rows.length, 1)
  const info = await (await request('GET', `/${db.name.split('/').pop()}/_design/sensors/_info`)).json()
  assert.equal(info.view_index.updates_pending.total, 0)
})

await finish()
