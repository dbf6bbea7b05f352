// Attachments between PouchDB and the server: 10 MB of noise and of text, several in one document, stubs, digests.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { check, failure, finish, local, noise, prose, remote } from './checks.mjs'

const TEN_MB = 10 * 1024 * 1024
const BINARY = noise(TEN_MB, 42)
const TEXT = prose(TEN_MB)
const md5 = (bytes) => `md5-${createHash('md5').update(bytes).digest('base64')}`
const bytesOf = (db, id, name, options = {}) => db.getAttachment(id, name, options).then((got) => Buffer.from(got))
const same = (left, right) => assert.ok(left.equals(right), `${left.length} bytes wanted, ${right.length} got, or they differ`)

await check('10 MB of noise and 10 MB of text go to the server and on to another client', async () => {
  const [first, hub, second] = [local('big-a'), remote('big'), local('big-b')]
  const { rev } = await first.putAttachment('big', 'noise.bin', BINARY, 'application/octet-stream')
  await first.putAttachment('big', 'prose.txt', rev, TEXT, 'text/plain')
  assert.equal((await first.replicate.to(hub)).docs_written, 1)
  same(BINARY, await bytesOf(hub, 'big', 'noise.bin'))
  same(TEXT, await bytesOf(hub, 'big', 'prose.txt'))
  assert.equal((await second.replicate.from(hub)).docs_written, 1)
  same(BINARY, await bytesOf(second, 'big', 'noise.bin'))
  same(TEXT, await bytesOf(second, 'big', 'prose.txt'))
  assert.equal((await second.get('big'))._rev, (await first.get('big'))._rev)
})

await check('10 MB put straight to the server come back; what a stub says is true', async () => {
  const hub = remote('direct')
  const one = await hub.putAttachment('doc', 'noise.bin', BINARY, 'application/octet-stream')
  const two = await hub.putAttachment('doc', 'prose.txt', one.rev, TEXT, 'text/plain')
  same(BINARY, await bytesOf(hub, 'doc', 'noise.bin'))
  same(TEXT, await bytesOf(hub, 'doc', 'prose.txt'))
  const { _attachments: stubs } = await hub.get('doc')
  assert.deepEqual(stubs['noise.bin'], {
    content_type: 'application/octet-stream', revpos: 1, digest: md5(BINARY), length: TEN_MB, stub: true
  })
  const { digest, ...text } = stubs['prose.txt']
  assert.match(digest, /^md5-[A-Za-z0-9+/]{22}==$/)
  assert.deepEqual(text, { content_type: 'text/plain', revpos: 2, length: TEXT.length, stub: true })
  same(BINARY, await bytesOf(hub, 'doc', 'noise.bin', { rev: one.rev }))
  assert.equal((await failure(hub.getAttachment('doc', 'prose.txt', { rev: one.rev }))).status, 404)
  assert.equal((await hub.get('doc'))._rev, two.rev)
})

await check('attachments inline in base64, in both directions', async () => {
  const [client, hub] = [local('inline'), remote('inline')]
  const names = ['plain.txt', 'with space.bin', 'ümläut.png', 'dir/inner/file.css', 'plus+.js', '%25.txt']
  const content = Object.fromEntries(names.map((name, n) => [name, noise(1000 * (n + 1), n + 1)]))
  const types = ['text/plain', 'application/octet-stream', 'image/png', 'text/css', 'application/javascript', 'text/plain; charset=utf-8']
  await hub.put({
    _id: 'doc',
    _attachments: Object.fromEntries(names.map((name, n) => [name, { content_type: types[n], data: content[name].toString('base64') }]))
  })
  await client.replicate.from(hub)
  const doc = await client.get('doc', { attachments: true })
  for (const [n, name] of names.entries()) {
    same(content[name], Buffer.from(doc._attachments[name].data, 'base64'))
    assert.equal(doc._attachments[name].content_type, types[n])
    same(content[name], await bytesOf(hub, 'doc', name))
  }
  const inline = await hub.get('doc', { attachments: true })
  for (const name of names) same(content[name], Buffer.from(inline._attachments[name].data, 'base64'))
  const binary = await hub.get('doc', { attachments: true, binary: true })
  for (const name of names) same(content[name], Buffer.from(binary._attachments[name].data))
})

await check('stubs keep attachments over edits; removing one leaves the others', async () => {
  const [client, hub] = [local('stubs'), remote('stubs')]
  await client.put({
    _id: 'doc',
    _attachments: {
      a: { content_type: 'text/plain', data: Buffer.from('first').toString('base64') },
      b: { content_type: 'application/octet-stream', data: noise(50_000, 5).toString('base64') }
    }
  })
  await client.sync(hub)
  await hub.put({ ...await hub.get('doc'), edited: 'on the server' })
  await client.sync(hub)
  await client.put({ ...await client.get('doc'), again: 'on the client' })
  await client.sync(hub)
  assert.equal((await hub.get('doc')).again, 'on the client')
  same(Buffer.from('first'), await bytesOf(hub, 'doc', 'a'))
  same(noise(50_000, 5), await bytesOf(hub, 'doc', 'b'))
  const { _rev } = await hub.get('doc')
  await hub.removeAttachment('doc', 'a', _rev)
  await client.sync(hub)
  for (const db of [client, hub]) {
    assert.deepEqual(Object.keys((await db.get('doc'))._attachments), ['b'])
    assert.equal((await failure(db.getAttachment('doc', 'a', {}))).status, 404)
    same(noise(50_000, 5), await bytesOf(db, 'doc', 'b'))
  }
})

await check('an empty attachment, and one of each kind in allDocs and changes', async () => {
  const [client, hub] = [local('small'), remote('small')]
  await hub.put({
    _id: 'doc',
    _attachments: {
      empty: { content_type: 'text/plain', data: '' },
      letter: { content_type: 'text/plain', data: Buffer.from('x').toString('base64') }
    }
  })
  await client.replicate.from(hub)
  assert.equal((await bytesOf(client, 'doc', 'empty')).length, 0)
  assert.equal((await bytesOf(hub, 'doc', 'empty')).length, 0)
  const { rows } = await hub.allDocs({ include_docs: true, attachments: true })
  assert.equal(rows[0].doc._attachments.letter.data, Buffer.from('x').toString('base64'))
  const { results } = await hub.changes({ since: 0, include_docs: true, attachments: true })
  assert.equal(results[0].doc._attachments.letter.data, Buffer.from('x').toString('base64'))
})

await check('conflicting attachments of the same name are kept apart', async () => {
  const [alice, bob, hub] = [local('alice'), local('bob'), remote('conflict')]
  await alice.put({ _id: 'doc' })
  await alice.sync(hub)
  await bob.sync(hub)
  const made = {}
  for (const [client, name] of [[alice, 'alice'], [bob, 'bob']]) {
    const { rev } = await client.putAttachment('doc', 'file', (await client.get('doc'))._rev, Buffer.from(`by ${name}`), 'text/plain')
    made[rev] = name
  }
  await alice.sync(hub)
  await bob.sync(hub)
  await alice.sync(hub)
  assert.equal(Object.keys(made).length, 2)
  const winner = (await hub.get('doc'))._rev
  for (const client of [alice, bob]) {
    assert.equal((await bytesOf(client, 'doc', 'file')).toString(), `by ${made[winner]}`)
  }
  for (const [rev, name] of Object.entries(made)) {
    assert.equal((await bytesOf(hub, 'doc', 'file', { rev })).toString(), `by ${name}`)
  }
})

await check('100 documents with two attachments each', async () => {
  const [first, hub, second] = [local('hundred-a'), remote('hundred'), local('hundred-b')]
  const content = (n, name) => Buffer.from(`${name} of ${n} `.repeat(200 + n))
  await first.bulkDocs(Array.from({ length: 100 }, (_, n) => ({
    _id: `doc-${n}`,
    _attachments: {
      'a.txt': { content_type: 'text/plain', data: content(n, 'a').toString('base64') },
      'b.bin': { content_type: 'application/octet-stream', data: content(n, 'b').toString('base64') }
    }
  })))
  await first.replicate.to(hub)
  const { docs_written: written } = await second.replicate.from(hub)
  assert.equal(written, 100)
  const { rows } = await second.allDocs({ include_docs: true, attachments: true })
  for (const { doc } of rows) {
    const n = Number(doc._id.slice(4))
    same(content(n, 'a'), Buffer.from(doc._attachments['a.txt'].data, 'base64'))
    same(content(n, 'b'), Buffer.from(doc._attachments['b.bin'].data, 'base64'))
  }
})

await finish()
