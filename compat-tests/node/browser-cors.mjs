// PouchDB in a page of another origin, in Chromium: it logs in through _session and syncs with the session's cookie,
// over HTTP from the same site, and over HTTPS from another one. The second argument is the server's HTTPS address.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import puppeteer from 'puppeteer-core'
import { check, finish, freshName, numberedDocs, request, server } from './checks.mjs'

const BROWSER = process.env.SETTEE_CHROMIUM ?? '/usr/bin/chromium'
// The certificate is the test's own.
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--ignore-certificate-errors']
const { username: name, password } = new URL(server)
// A site is a host without its port: `localhost` is another one than 127.0.0.1.
const sameSite = `http://localhost:${new URL(server).port}`
const otherSite = process.argv[3]

const pouchdb = await readFile('node_modules/pouchdb/dist/pouchdb.js')
const pages = async () => {
  const pages = createServer((request, answer) => {
    const script = request.url === '/pouchdb.js'
    answer.setHeader('content-type', script ? 'text/javascript' : 'text/html')
    answer.end(script ? pouchdb : '<!doctype html><title>elsewhere</title><script src="/pouchdb.js"></script>')
  })
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve))
  return `http://localhost:${pages.address().port}`
}
const [allowed, refused] = [await pages(), await pages()]

const set = async (section, key, value) => {
  const answer = await request('PUT', `/_node/_local/_config/${section}/${key}`, { json: value })
  assert.equal(answer.status, 200)
}
await set('chttpd', 'enable_cors', 'true')
await set('cors', 'origins', allowed)
await set('cors', 'credentials', 'true')
await set('cors', 'headers', 'accept, authorization, content-type, origin, referer')
await set('cors', 'methods', 'GET, PUT, POST, HEAD, DELETE')

// The browser refuses all cookies of other sites, whatever they say, unless its user wants them.
const userDataDir = await mkdtemp(join(tmpdir(), 'settee-browser-'))
await mkdir(join(userDataDir, 'Default'))
const preferences = { profile: { cookie_controls_mode: 0, block_third_party_cookies: false } }
await writeFile(join(userDataDir, 'Default', 'Preferences'), JSON.stringify(preferences))
const browser = await puppeteer.launch({ executablePath: BROWSER, headless: true, args: FLAGS, userDataDir })
const open = async (origin) => {
  const page = await browser.newPage()
  await page.goto(origin)
  return page
}

// All that follows runs in the page.
const logIn = (page, address) => page.evaluate(async (address, name, password) => {
  const answer = await fetch(`${address}/_session`, {
    method: 'POST',
    credentials: 'include',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, password })
  })
  return { status: answer.status, body: await answer.json() }
}, address, name, password)

const whoAmI = (page, address) => page.evaluate(async (address) => {
  const answer = await fetch(`${address}/_session`, { credentials: 'include' })
  return (await answer.json()).userCtx.name
}, address)

const logOut = (page, address) => page.evaluate(async (address) => {
  await fetch(`${address}/_session`, { method: 'DELETE', credentials: 'include' })
}, address)

const sync = (page, remote) => page.evaluate(async (remote) => {
  const local = new window.PouchDB(`local-${Math.random()}`)
  await local.bulkDocs(Array.from({ length: 20 }, (_, n) => ({ _id: `page-${n}`, n })))
  await local.putAttachment('page-0', 'text', (await local.get('page-0'))._rev, new window.Blob(['from the page']), 'text/plain')
  let done
  try {
    done = await local.sync(new window.PouchDB(remote, { skip_setup: true }))
  } catch (error) {
    return { refused: error.status ?? error.result?.status ?? String(error) }
  }
  const { rows } = await local.allDocs()
  return { pushed: done.push.docs_written, pulled: done.pull.docs_written, ids: rows.map(({ id }) => id) }
}, remote)

const syncsAt = async (address) => {
  const db = freshName('cors')
  assert.equal((await request('PUT', `/${db}`)).status, 201)
  await request('POST', `/${db}/_bulk_docs`, { json: { docs: numberedDocs(30, 'server') } })
  const page = await open(allowed)
  await logOut(page, address)
  assert.equal(await whoAmI(page, address), null)
  assert.equal((await sync(page, `${address}/${db}`)).refused, 401)
  const { status, body } = await logIn(page, address)
  assert.deepEqual([status, body.name], [200, name])
  assert.equal(await whoAmI(page, address), name)
  const { pushed, pulled, ids } = await sync(page, `${address}/${db}`)
  assert.deepEqual([pushed, pulled, ids.length], [20, 30, 50])
  const text = await (await request('GET', `/${db}/page-0/text`)).text()
  assert.equal(text, 'from the page')
  assert.equal((await (await request('GET', `/${db}`)).json()).doc_count, 50)
  return page
}

await check('a page of the same site syncs over HTTP with its session', () => syncsAt(sameSite))

await check('a page of another site needs cookies that say so, and HTTPS', async () => {
  const page = await open(allowed)
  await set('chttpd_auth', 'same_site', 'lax')
  assert.equal((await logIn(page, otherSite)).status, 200)
  assert.equal(await whoAmI(page, otherSite), null)
  await set('chttpd_auth', 'same_site', 'none')
  await syncsAt(otherSite)
})

await check('a page of an origin that is not allowed gets nothing', async () => {
  const page = await open(refused)
  for (const address of [sameSite, otherSite]) {
    const failed = await logIn(page, address).catch((error) => String(error))
    assert.match(String(failed), /Failed to fetch/)
    const seen = await whoAmI(page, address).catch((error) => String(error))
    assert.match(String(seen), /Failed to fetch/)
  }
})

await browser.close()
await rm(userDataDir, { recursive: true, force: true })
await finish()
