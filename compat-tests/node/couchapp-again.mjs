// What a repeated push leaves of a design document: the database and the application are named by the second and
// third argument.
import assert from 'node:assert/strict'
import { check, finish, request } from './checks.mjs'

const [db, app] = process.argv.slice(3)

await check('attachments are as the first push made them', async () => {
  const doc = await (await request('GET', `/${db}/_design/${app}`)).json()
  assert.match(doc._rev, /^[2-9]-/)
  const stubs = Object.entries(doc._attachments)
  assert.equal(stubs.length, 2)
  for (const [name, stub] of stubs) {
    assert.deepEqual([name, stub.stub, stub.revpos], [name, true, 1])
    const answer = await request('GET', `/${db}/_design/${app}/${name}`)
    assert.deepEqual([answer.status, (await answer.arrayBuffer()).byteLength], [200, stub.length])
  }
})

await finish()
