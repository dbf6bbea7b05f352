// A live sync with retry lives through the death of the server. The caller reads this script's output: on the line
// `KILL THE SERVER` it kills the server, starts it again on the same port and writes a line to this script's input.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { check, finish, local, numberedDocs, remote, revisions, serverMayBeAway, until } from './checks.mjs'

const hub = remote('outage')
const [alice, bob] = [local('alice'), local('bob')]
const errors = []
for (const client of [alice, bob]) {
  client.sync(hub, { live: true, retry: true, back_off_function: () => 50 })
    .on('error', (error) => errors.push(error))
}
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const count = async (db) => (await db.info()).doc_count

await check('before the kill both clients are in sync', async () => {
  await alice.bulkDocs(numberedDocs(50, 'before'))
  await until('bob holds 50 documents', async () => await count(bob) === 50)
})

await check('what is written while the server is away arrives after it is back', async () => {
  serverMayBeAway(true)
  console.log('KILL THE SERVER')
  await alice.bulkDocs(numberedDocs(50, 'while-away-a'))
  await bob.bulkDocs(numberedDocs(50, 'while-away-b'))
  await lines.next()
  await until('both clients hold 150 documents', async () => await count(alice) === 150 && await count(bob) === 150, 60_000)
  await until('the server holds 150 documents', async () => await count(hub) === 150)
  assert.deepEqual(await revisions(alice), await revisions(hub))
  assert.deepEqual(await revisions(bob), await revisions(hub))
  serverMayBeAway(false)
})

await check('the live feeds go on', async () => {
  await alice.put({ _id: 'after' })
  await until('bob has it', () => bob.get('after').then(() => true, () => false))
  assert.deepEqual(errors, [])
})

await finish()
