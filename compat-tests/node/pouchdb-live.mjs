// Two PouchDB clients in live sync through the server: writes, edits, deletions and conflicts reach both.
import assert from 'node:assert/strict'
import { check, finish, local, noise, numberedDocs, remote, revisions, until } from './checks.mjs'

const hub = remote('live')
const [alice, bob] = [local('alice'), local('bob')]
const syncs = [alice, bob].map((client) => client.sync(hub, { live: true, retry: true }))
const errors = []
for (const sync of syncs) {
  sync.on('error', (error) => errors.push(error))
  sync.on('denied', (error) => errors.push(error))
}
const rev = async (db, id) => (await db.get(id).catch(() => ({})))._rev

await check('what one writes the other sees', async () => {
  await alice.put({ _id: 'hello', from: 'alice' })
  await until('the document reaches bob', () => rev(bob, 'hello'))
  await bob.put({ _id: 'answer', from: 'bob' })
  await until('the document reaches alice', () => rev(alice, 'answer'))
})

await check('200 single writes from both sides at once all arrive', async () => {
  await Promise.all([[alice, 'a'], [bob, 'b']].map(async ([client, prefix]) => {
    for (const doc of numberedDocs(100, prefix)) await client.put(doc)
  }))
  await until('both clients hold 202 documents', async () => {
    const infos = await Promise.all([alice.info(), bob.info(), hub.info()])
    return infos.every((info) => info.doc_count === 202)
  })
  const wanted = await revisions(hub)
  assert.deepEqual(await revisions(alice), wanted)
  assert.deepEqual(await revisions(bob), wanted)
})

await check('an edit and a deletion arrive', async () => {
  const edited = await bob.put({ ...await bob.get('hello'), edited: true })
  await alice.remove(await alice.get('answer'))
  await until('the edit reaches alice', async () => await rev(alice, 'hello') === edited.rev)
  await until('the deletion reaches bob', async () => !await rev(bob, 'answer'))
})

await check('a write straight to the server reaches both', async () => {
  const { rev: wanted } = await hub.put({ _id: 'direct', from: 'server' })
  await until('both have it', async () => await rev(alice, 'direct') === wanted && await rev(bob, 'direct') === wanted)
})

await check('an attachment arrives', async () => {
  const bytes = noise(300_000, 7)
  await alice.putAttachment('with-file', 'a file.bin', bytes, 'application/octet-stream')
  await until('the document reaches bob', () => rev(bob, 'with-file'))
  assert.ok(bytes.equals(await bob.getAttachment('with-file', 'a file.bin', {})))
})

await check('a conflict is seen by all and its resolution too', async () => {
  const before = await alice.get('hello')
  const history = (await alice.get('hello', { revs: true }))._revisions
  const branch = (digit, by) => ({
    _id: 'hello',
    _rev: `${history.start + 1}-${digit.repeat(32)}`,
    _revisions: { start: history.start + 1, ids: [digit.repeat(32), ...history.ids] },
    by
  })
  await Promise.all([
    alice.bulkDocs([branch('a', 'alice')], { new_edits: false }),
    bob.bulkDocs([branch('b', 'bob')], { new_edits: false })
  ])
  const conflicts = async (db) => (await db.get('hello', { conflicts: true }))._conflicts ?? []
  await until('all three see the conflict', async () => {
    const all = await Promise.all([alice, bob, hub].map(conflicts))
    return all.every((list) => list.length === 1)
  })
  assert.equal((await alice.get('hello')).by, 'bob')
  await bob.remove('hello', (await conflicts(bob))[0])
  await until('all three see it resolved', async () => {
    const all = await Promise.all([alice, bob, hub].map(conflicts))
    return all.every((list) => list.length === 0)
  })
  assert.notEqual((await alice.get('hello'))._rev, before._rev)
})

await check('live feeds stop when cancelled, and none had an error', async () => {
  let ended = 0
  for (const sync of syncs) {
    sync.on('complete', () => { ended += 1 })
    sync.cancel()
  }
  await until('both syncs end', () => ended === syncs.length)
  assert.deepEqual(errors, [])
})

await finish()
