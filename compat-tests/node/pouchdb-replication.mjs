// PouchDB replicates one-shot to and from the server: documents, 5,000 of them, conflicts, deletions, filters.
import assert from 'node:assert/strict'
import { check, failure, finish, freshName, local, numberedDocs, PouchDB, remote, request, revisions, server } from './checks.mjs'

const ODD_IDS = ['with space', 'a/b/c', 'plus+and&and?', 'percent%2F', 'ümläut', '日本語', '🛋️', 'quote"quote', "it's", 'dot.', '~tilde', ':colon', '@at', 'CAPS', 'a'.repeat(200)]

await check('replicate to: documents, a design document and odd ids arrive with the same revisions', async () => {
  const [client, hub] = [local('to'), remote('to')]
  await client.bulkDocs([...numberedDocs(100), { _id: '_design/app', views: {}, language: 'javascript' }])
  await client.bulkDocs(ODD_IDS.map((_id) => ({ _id, named: _id })))
  const result = await client.replicate.to(hub)
  assert.equal(result.ok, true)
  assert.equal(result.docs_written, 101 + ODD_IDS.length)
  assert.equal(result.doc_write_failures, 0)
  assert.deepEqual(await revisions(hub), await revisions(client))
  for (const id of ODD_IDS) assert.equal((await hub.get(id)).named, id)
})

await check('replicate from: what was written on the server arrives, every member of every document', async () => {
  const [client, hub] = [local('from'), remote('from')]
  const docs = numberedDocs(250).map((doc) => ({ ...doc, nested: { list: [1, 1.5, -2e30, null, true, 'ü'], empty: {} } }))
  await hub.bulkDocs(docs)
  await hub.bulkDocs(ODD_IDS.map((_id) => ({ _id, named: _id })))
  const result = await client.replicate.from(hub, { batch_size: 60 })
  assert.equal(result.docs_written, 250 + ODD_IDS.length)
  const { rows } = await client.allDocs({ include_docs: true, startkey: 'doc-', endkey: 'doc-\ufff0' })
  assert.deepEqual(rows.map(({ doc: { _rev, ...rest } }) => rest), docs)
  assert.deepEqual(await revisions(client), await revisions(hub))
})

await check('replicate from by the name of the server database in a URL string', async () => {
  const name = freshName('by-url')
  const hub = new PouchDB(`${server}/${name}`)
  await hub.put({ _id: 'one' })
  const client = local('by-url')
  const result = await PouchDB.replicate(`${server}/${name}`, client)
  assert.equal(result.docs_written, 1)
})

await check('5,000 documents to the server and on to a second client; a second run has nothing to do', async () => {
  const [first, hub, second] = [local('many-a'), remote('many'), local('many-b')]
  await first.bulkDocs(numberedDocs(5000))
  const up = await first.replicate.to(hub, { batch_size: 500 })
  assert.equal(up.docs_written, 5000)
  const info = await hub.info()
  assert.equal(info.doc_count, 5000)
  const down = await second.replicate.from(hub, { batch_size: 1000 })
  assert.equal(down.docs_written, 5000)
  const wanted = await revisions(first)
  assert.equal(Object.keys(wanted).length, 5000)
  assert.deepEqual(await revisions(second), wanted)
  assert.equal((await first.replicate.to(hub)).docs_read, 0)
  assert.equal((await second.replicate.from(hub)).docs_read, 0)
})

await check('conflicts made by two clients meet on the server and are resolved by one of them', async () => {
  const [alice, bob, hub] = [local('alice'), local('bob'), remote('clients-conflict')]
  await alice.put({ _id: 'shared', by: 'nobody' })
  await alice.sync(hub)
  await bob.sync(hub)
  for (const [client, name] of [[alice, 'alice'], [bob, 'bob']]) {
    const doc = await client.get('shared')
    await client.put({ ...doc, by: name })
  }
  await alice.sync(hub)
  await bob.sync(hub)
  await alice.sync(hub)
  const views = await Promise.all([alice, bob, hub].map((db) => db.get('shared', { conflicts: true })))
  for (const view of views) assert.deepEqual(view, views[0])
  assert.equal(views[0]._conflicts.length, 1)

  await alice.remove('shared', views[0]._conflicts[0])
  const merged = await alice.put({ ...await alice.get('shared'), by: 'both' })
  await alice.sync(hub)
  await bob.sync(hub)
  for (const db of [alice, bob, hub]) {
    const doc = await db.get('shared', { conflicts: true })
    assert.equal(doc._rev, merged.rev)
    assert.equal(doc.by, 'both')
    assert.equal(doc._conflicts, undefined)
    const leaves = await db.get('shared', { open_revs: 'all' })
    assert.deepEqual(leaves.map(({ ok }) => ok._deleted === true).sort(), [false, true])
  }
})

await check('a conflict made on the server and resolved on the server reaches the clients', async () => {
  const [alice, bob, hub] = [local('alice'), local('bob'), remote('server-conflict')]
  const hex = (digit) => digit.repeat(32)
  await hub.bulkDocs([
    { _id: 'both', _rev: `2-${hex('a')}`, _revisions: { start: 2, ids: [hex('a'), hex('0')] }, side: 'a' },
    { _id: 'both', _rev: `2-${hex('b')}`, _revisions: { start: 2, ids: [hex('b'), hex('0')] }, side: 'b' }
  ], { new_edits: false })
  await alice.replicate.from(hub)
  await bob.replicate.from(hub)
  for (const db of [alice, bob, hub]) {
    const doc = await db.get('both', { conflicts: true })
    assert.equal(doc._rev, `2-${hex('b')}`)
    assert.deepEqual(doc._conflicts, [`2-${hex('a')}`])
    assert.equal((await db.get('both', { rev: `2-${hex('a')}` })).side, 'a')
  }
  await hub.remove('both', `2-${hex('a')}`)
  const { rev } = await hub.put({ _id: 'both', _rev: `2-${hex('b')}`, side: 'resolved' })
  for (const client of [alice, bob]) {
    await client.replicate.from(hub)
    const doc = await client.get('both', { conflicts: true })
    assert.deepEqual([doc._rev, doc.side, doc._conflicts], [rev, 'resolved', undefined])
  }
})

await check('three-way conflicts agree on the winner everywhere, also with a deleted branch', async () => {
  const clients = [local('c0'), local('c1'), local('c2')]
  const hub = remote('three-way')
  await clients[0].put({ _id: 'doc', from: 'start' })
  for (const client of clients) await client.sync(hub)
  await clients[0].sync(hub)
  for (const [n, client] of clients.entries()) {
    const doc = await client.get('doc')
    await client.put({ ...doc, from: n })
  }
  await clients[2].remove(await clients[2].get('doc'))
  for (let round = 0; round < 2; round += 1) {
    for (const client of clients) await client.sync(hub)
  }
  const docs = await Promise.all([hub, ...clients].map((db) => db.get('doc', { conflicts: true })))
  for (const doc of docs) assert.deepEqual(doc, docs[0])
  assert.equal(docs[0]._conflicts.length, 1)
  for (const db of [hub, ...clients]) {
    const leaves = await db.get('doc', { open_revs: 'all' })
    assert.equal(leaves.filter(({ ok }) => ok._deleted).length, 1)
    assert.equal(leaves.length, 3)
  }
})

await check('deletions travel both ways and keep what a tombstone says', async () => {
  const [client, hub] = [local('delete'), remote('delete')]
  await client.bulkDocs(numberedDocs(10))
  await client.replicate.to(hub)
  await client.remove(await client.get('doc-000000'))
  const farewell = await client.get('doc-000001')
  await client.put({ _id: farewell._id, _rev: farewell._rev, _deleted: true, why: 'moved' })
  await hub.remove(await hub.get('doc-000002'))
  await client.sync(hub)
  for (const db of [client, hub]) {
    for (const id of ['doc-000000', 'doc-000001', 'doc-000002']) {
      const error = await failure(db.get(id))
      assert.deepEqual([error.status, error.reason], [404, 'deleted'])
    }
    assert.equal((await db.info()).doc_count, 7)
    const changes = await db.changes({ since: 0 })
    assert.deepEqual(changes.results.filter((row) => row.deleted).map((row) => row.id).sort(),
      ['doc-000000', 'doc-000001', 'doc-000002'])
  }
  const [{ ok: tombstone }] = await hub.get('doc-000001', { open_revs: 'all' })
  assert.deepEqual([tombstone.why, tombstone._deleted], ['moved', true])
  const newcomer = local('newcomer')
  await newcomer.replicate.from(hub)
  assert.equal((await failure(newcomer.get('doc-000001'))).reason, 'deleted')
})

await check('a deleted document that is written again is the same everywhere', async () => {
  const [client, hub] = [local('again'), remote('again')]
  await client.put({ _id: 'phoenix', life: 1 })
  await client.sync(hub)
  await hub.remove(await hub.get('phoenix'))
  await client.sync(hub)
  await client.put({ _id: 'phoenix', life: 2 })
  await client.sync(hub)
  assert.deepEqual(await hub.get('phoenix'), await client.get('phoenix'))
})

await check('filtered by doc_ids: only those named arrive', async () => {
  const [client, hub] = [local('doc-ids'), remote('doc-ids')]
  await hub.bulkDocs([...numberedDocs(50), { _id: 'ä/ö', odd: true }])
  const wanted = ['doc-000003', 'doc-000030', 'ä/ö', 'not-there']
  const result = await client.replicate.from(hub, { doc_ids: wanted })
  assert.equal(result.docs_written, 3)
  assert.deepEqual(Object.keys(await revisions(client)).sort(), ['doc-000003', 'doc-000030', 'ä/ö'])
})

await check('filtered by selector: only what matches arrives', async () => {
  const [client, hub] = [local('selector'), remote('selector')]
  await hub.bulkDocs(numberedDocs(60))
  const selector = { even: true, number: { $gte: 10, $lt: 20 } }
  const result = await client.replicate.from(hub, { selector })
  assert.equal(result.docs_written, 5)
  assert.deepEqual(Object.keys(await revisions(client)),
    ['doc-000010', 'doc-000012', 'doc-000014', 'doc-000016', 'doc-000018'])
  await hub.bulkDocs(numberedDocs(30, 'later'))
  assert.equal((await client.replicate.from(hub, { selector })).docs_written, 5)
})

await check('long histories arrive whole, and only the new revisions are sent later', async () => {
  const [client, hub] = [local('history'), remote('history')]
  let { rev } = await client.put({ _id: 'doc', n: 0 })
  const edit = async (count) => {
    for (let n = 1; n <= count; n += 1) ({ rev } = await client.put({ _id: 'doc', _rev: rev, n }))
  }
  await edit(60)
  await client.replicate.to(hub)
  await edit(60)
  await client.replicate.to(hub)
  const [here, there] = await Promise.all([client, hub].map((db) => db.get('doc', { revs: true })))
  assert.equal(there._revisions.start, 121)
  assert.deepEqual(there._revisions, here._revisions)
})

await check('sync in one call carries both sides', async () => {
  const [client, hub] = [local('sync'), remote('sync')]
  await client.bulkDocs(numberedDocs(20, 'mine'))
  await hub.bulkDocs(numberedDocs(20, 'theirs'))
  const { push, pull } = await client.sync(hub)
  assert.deepEqual([push.docs_written, pull.docs_written], [20, 20])
  assert.equal((await hub.info()).doc_count, 40)
  assert.deepEqual(await revisions(client), await revisions(hub))
})

await check('from one server database to another through PouchDB', async () => {
  const [source, target] = [remote('source'), remote('target')]
  await source.bulkDocs(numberedDocs(120))
  const result = await PouchDB.replicate(source, target, { batch_size: 50 })
  assert.equal(result.docs_written, 120)
  assert.deepEqual(await revisions(target), await revisions(source))
})

await check('replication from a database that is not there fails and says so', async () => {
  const nowhere = new PouchDB(`${server}/${freshName('nowhere')}`, { skip_setup: true })
  const error = await failure(local('nowhere').replicate.from(nowhere))
  assert.match(JSON.stringify(error) + error.message, /not_found|missing|no_db_file|Database does not exist/i)
  assert.equal((await request('GET', '/_up')).status, 200)
})

await check('a design document that the user may not write is refused alone, and the others arrive', async () => {
  const name = freshName('members')
  await request('PUT', `/${name}`)
  await request('PUT', `/${name}/_security`, { json: {} })
  const { origin } = new URL(server)
  const [client, anyone] = [local('members'), new PouchDB(`${origin}/${name}`, { skip_setup: true })]
  await client.bulkDocs([...numberedDocs(5), { _id: '_design/app', views: {} }])
  const denied = []
  const replication = client.replicate.to(anyone).on('denied', (refusal) => denied.push(refusal.id))
  const result = await replication
  assert.deepEqual([result.ok, result.docs_written, result.doc_write_failures], [true, 5, 1])
  assert.deepEqual(denied, ['_design/app'])
  const [refusal] = await remote('invalid').bulkDocs([{ _id: '_design/broken', views: 5 }])
  assert.deepEqual([refusal.id, refusal.name ?? refusal.error], ['_design/broken', 'invalid_design_doc'])
})

await finish()
