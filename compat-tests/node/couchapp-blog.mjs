// The blog of fixtures/couchapps, pushed by the Python couchapp into the database named by the second argument:
// lists in two formats, mustache templates, E4X, rewrites, validation, reduces.
import assert from 'node:assert/strict'
import { check, finish, request, server } from './checks.mjs'

const db = process.argv[3]
const app = `/${db}/_design/blog`
const anonymous = (method, path, options = {}) =>
  fetch(new URL(server).origin + path, { method, ...options })
const text = async (path, headers = {}) => {
  const answer = await request('GET', path, { headers })
  return { status: answer.status, type: answer.headers.get('content-type'), headers: answer.headers, body: await answer.text() }
}

const posts = ['First light', 'Rain & <tea>', 'On "quotes"', 'Last words'].map((title, n) => ({
  _id: `post-${n}`,
  type: 'post',
  title,
  html: `<p>${'word '.repeat(n + 1)}</p>`,
  author: 'Ada & Co',
  created_at: `2010/0${n + 1}/10 10:00:00 +0000`,
  tags: ['CouchDB', n % 2 ? 'Odd Things' : 'even']
}))

await request('PUT', `/${db}/_security`, { json: { admins: { names: [], roles: [] }, members: { names: [], roles: [] } } })

await check('an empty blog says so', async () => {
  const { status, body } = await text(`${app}/_rewrite/`, { accept: 'text/html' })
  assert.equal(status, 200)
  assert.match(body, /No posts yet/)
})

await check('posts are validated: only admins write, all members are needed, some never change', async () => {
  for (const post of posts) {
    const made = await request('PUT', `/${db}/${post._id}`, { json: post })
    assert.equal(made.status, 201, await made.text())
  }
  const refused = await anonymous('PUT', `/${db}/mine`, {
    headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...posts[0], _id: 'mine' })
  })
  assert.equal(refused.status, 401)
  assert.deepEqual(await refused.json(), { error: 'unauthorized', reason: 'Only admins write on Quill & Ink.' })
  const { title, ...untitled } = posts[0]
  const lacking = await request('PUT', `/${db}/lacking`, { json: { ...untitled, _id: 'lacking' } })
  assert.equal(lacking.status, 403)
  assert.deepEqual(await lacking.json(), { error: 'forbidden', reason: "The 'title' field is required." })
  const { _rev } = await (await request('GET', `/${db}/post-0`)).json()
  const changed = await request('PUT', `/${db}/post-0`, { json: { ...posts[0], _rev, type: 'comment' } })
  assert.deepEqual([changed.status, (await changed.json()).reason], [403, "You may not change the 'type' field."])
})

await check('comments are for everybody, through a rewrite too', async () => {
  const comment = (n, extra) => ({
    type: 'comment', post_id: 'post-1', comment: `remark <${n}>`, created_at: `2010/02/1${n} 10:00:00 +0000`, commenter: { name: `Guest ${n}` }, ...extra
  })
  for (const n of [1, 2]) {
    const made = await anonymous('POST', `${app}/_rewrite/comments`, {
      headers: { 'content-type': 'application/json' }, body: JSON.stringify(comment(n))
    })
    assert.equal(made.status, 201, await made.text())
  }
  const nameless = await anonymous('POST', `/${db}`, {
    headers: { 'content-type': 'application/json' }, body: JSON.stringify(comment(3, { commenter: {} }))
  })
  assert.deepEqual([nameless.status, (await nameless.json()).reason], [403, 'A comment needs a name.'])
  const removal = await anonymous('DELETE', `/${db}/post-0?rev=${(await (await request('GET', `/${db}/post-0`)).json())._rev}`)
  assert.deepEqual([removal.status, (await removal.json()).reason], [401, 'Only an admin may delete.'])
})

await check('the index is a list through mustache, newest first, three a page', async () => {
  const { status, type, body } = await text(`${app}/_rewrite/`, { accept: 'text/html' })
  assert.deepEqual([status, type], [200, 'text/html; charset=utf-8'])
  assert.match(body, /<title>Quill &amp; Ink<\/title>/)
  assert.match(body, /Notes &lt;from&gt; the couch/)
  const titles = [...body.matchAll(/<li><a href="[^"]*">([^<]*)<\/a> <em>([^<]*)<\/em>/g)].map(([, title, date]) => [title, date])
  assert.deepEqual(titles, [
    ['Last words', '10 April 2010'], ['On &quot;quotes&quot;', '10 March 2010'], ['Rain &amp; &lt;tea&gt;', '10 February 2010']
  ])
  assert.match(body, /<span>CouchDB<\/span> <span>Odd Things<\/span>/)
  assert.match(body, /<div><p>word word word word <\/p><\/div>/)
  const more = body.match(/class="more" href="([^"]*)"/)[1].replaceAll('&amp;', '&').replaceAll('&#x2F;', '/').replaceAll('&#x3D;', '=')
  const older = await text(more, { accept: 'text/html' })
  assert.match(older.body, /First light/)
  assert.doesNotMatch(older.body, /Last words/)
})

await check('the feed is Atom, made of XML literals', async () => {
  const { status, type, body } = await text(`${app}/_rewrite/feed`)
  assert.deepEqual([status, type], [200, 'application/atom+xml'])
  assert.match(body, /^<feed xmlns="http:\/\/www.w3.org\/2005\/Atom">/)
  assert.match(body, /<title>Quill &amp; Ink<\/title>/)
  assert.match(body, /<updated>2010-04-10T10:00:00Z<\/updated>/)
  assert.match(body, /<link href="[^"]*format=%22atom%22" rel="self"\/>/)
  assert.equal(body.match(/<entry>/g).length, 3)
  assert.match(body, /<title>Rain &amp; &lt;tea&gt;<\/title>/)
  assert.match(body, /<content type="html">&lt;p&gt;word word &lt;\/p&gt;<\/content>/)
  assert.match(body, /<author>\s*<name>Ada &amp; Co<\/name>\s*<\/author>/)
  assert.match(body, /<category term="CouchDB"\/>/)
  assert.match(body, /<\/feed>$/)
})

await check('Accept chooses between the two, and nothing else is offered', async () => {
  const feed = await text(`${app}/_list/index/recent-posts?limit=1`, { accept: 'application/atom+xml' })
  assert.equal(feed.type, 'application/atom+xml')
  const picture = await text(`${app}/_list/index/recent-posts`, { accept: 'image/png' })
  assert.equal(picture.status, 406)
  assert.match(picture.body, /not_acceptable/)
})

await check('a post with its comments', async () => {
  const { status, body, headers } = await text(`${app}/_rewrite/post/post-1`, { accept: 'text/html' })
  assert.equal(status, 200)
  assert.equal(headers.get('x-post'), 'post-1')
  assert.match(body, /<h1>Rain &amp; &lt;tea&gt;<\/h1><p>by Ada &amp; Co<\/p><p>word word <\/p>/)
  assert.deepEqual([...body.matchAll(/<cite>([^<]*)<\/cite> ([^<]*)</g)].map(([, name, said]) => [name, said]),
    [['Guest 1', 'remark &lt;1&gt;'], ['Guest 2', 'remark &lt;2&gt;']])
  const none = await text(`${app}/_rewrite/post/nothing`, { accept: 'text/html' })
  assert.deepEqual([none.status, none.body], [200, '<p>There is no such post.</p>'])
})

await check('a show in its formats, and its entity tag', async () => {
  const html = await text(`${app}/_show/post/post-2`, { accept: 'text/html' })
  assert.match(html.body, /<h1>On &quot;quotes&quot;<\/h1>/)
  const json = await text(`${app}/_show/post/post-2?format=json`)
  assert.deepEqual([json.type, JSON.parse(json.body)], ['application/json', { title: 'On "quotes"', tags: ['CouchDB', 'even'] }])
  const gemini = await text(`${app}/_show/post/post-2`, { accept: 'text/gemini' })
  assert.deepEqual([gemini.type, gemini.body], ['text/gemini', '# On "quotes"\n'])
  const same = await text(`${app}/_show/post/post-2`, { accept: 'text/html', 'if-none-match': html.headers.get('etag') })
  assert.equal(same.status, 304)
  assert.equal((await text(`${app}/_show/post/nothing`)).status, 404)
})

await check('tags and months, reduced', async () => {
  const tag = JSON.parse((await text(`${app}/_rewrite/tag/odd-things`)).body)
  assert.deepEqual(tag, { rows: [{ key: ['odd-things'], value: 2 }] })
  const months = JSON.parse((await text(`${app}/_rewrite/months`)).body)
  assert.deepEqual(months, { rows: [{ key: [2010], value: { posts: 4, words: 14 } }] })
})

await check('attachments and the database itself through rewrites', async () => {
  const css = await text(`${app}/_rewrite/style/main.css`)
  assert.deepEqual([css.status, css.type], [200, 'text/css'])
  assert.match(css.body, /font-family: serif/)
  const page = await text(`${app}/index.html`)
  assert.match(page.body, /The blog/)
  assert.equal(JSON.parse((await text(`${app}/_rewrite/api/post-0`)).body).title, 'First light')
  assert.equal((await text(`${app}/_rewrite/nowhere/at/all`)).status, 404)
})

await check('a changed post moves in every index', async () => {
  const doc = await (await request('GET', `/${db}/post-3`)).json()
  assert.equal((await request('PUT', `/${db}/post-3`, { json: { ...doc, title: 'Edited', tags: ['Odd Things'] } })).status, 201)
  assert.match((await text(`${app}/_rewrite/`, { accept: 'text/html' })).body, />Edited<\/a>/)
  const tags = JSON.parse((await text(`${app}/_view/tags?group_level=1`)).body)
  assert.deepEqual(tags.rows, [
    { key: ['couchdb'], value: 3 }, { key: ['even'], value: 2 }, { key: ['odd-things'], value: 2 }
  ])
})

await finish()
