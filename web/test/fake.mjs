// A server for the tests of the page: the files of dist under the real policy, and an API whose answers follow from what is
// said, so that each test can see what it is about. It keeps every request it got.

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'

const web = new URL('..', import.meta.url)
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', txt: 'text/plain' }

/** The policy as package web has it. */
async function policy() {
  const source = await readFile(new URL('dist.go', web), 'utf8')
  const [, text] = /const Policy = ((?:"[^"]*"[\s+]*)+)/.exec(source)
  return [...text.matchAll(/"([^"]*)"/g)].map((m) => m[1]).join('')
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export const markdown = `# Plates

Baleen *filters* what it **reads**, in \`order\`:

1. a first thing, with a [link](https://example.org/whale)

2. a second
   - and one below

| part | ms |
|:-----|---:|
| experts | 8.1 |
| attention | 3.4 |

\`\`\`go
func main() {
	fmt.Println("a long line that is certainly wider than a narrow screen would ever be able to show without scrolling")
}
\`\`\`

> Said before.

![a picture](https://example.org/x.png) and <b onclick="alert(1)">no markup</b> and [bad](javascript:alert(1)).
`

/** Where the reading of a prompt stops until a test has seen it. */
export const half = {}
half.seen = new Promise((resolve) => {
  half.see = resolve
})

/** The answer to a request, as pieces and pauses. */
async function* answers(body) {
  const last = body.messages.at(-1)
  const said = last.content
  if (last.prefix) yield* words(' and goes on to the end.')
  else if (last.role === 'tool') yield* words(`The tool said ${said}.`)
  else if (said.includes('markdown')) {
    yield* words(markdown, 4)
    await pause(100) // for a frame with all of it, before the end
  } else if (said.includes('think')) {
    yield* words('First I consider the whale.\n\nThen I consider the plates of the whale, one after the other. '.repeat(3), 8, 'reasoning_content')
    yield* words('Thought through.')
  } else if (said.includes('tool') && body.tools) {
    const call = (index, id, name) => ({ tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] })
    yield call(0, 'call_a', 'weather')
    for (const part of ['{"city":', '"Reyk', 'javík"}']) yield { tool_calls: [{ index: 0, function: { arguments: part } }] }
    yield call(1, 'call_b', 'weather')
    yield { tool_calls: [{ index: 1, function: { arguments: '{"city":"Tromsø"}' } }] }
    yield { end: 'tool_calls' }
  } else if (said.includes('prompt')) {
    for (let done = 0; done <= 4000; done += 500) {
      yield { comment: `keep-alive ${done}/4000` }
      if (done === 1500) await half.seen
    }
    yield* words('Read it all.')
  } else if (said.includes('slow')) {
    yield* words(Array.from({ length: 400 }, (_, i) => `word${i}`).join(' '), 25)
  } else if (said.includes('short limit')) {
    yield* words('It begins')
    yield { end: 'length' }
  } else if (said.includes('break')) {
    yield* words('Half of it')
    await pause(60) // a browser drops what it has not handed on yet
    yield { broken: true }
  } else if (said.includes('leave')) {
    yield* words('Some of it')
    yield { error: { message: 'shutting down: the server: ask another one, or later', type: 'server_error', code: 'shutting_down' } }
  } else if (said.includes('fail')) {
    yield* words('Begun')
    yield { error: { message: 'engine: a fault was found: see the log', type: 'server_error', code: 'server_error' } }
  } else {
    const users = body.messages.filter((m) => m.role === 'user').length
    yield* words(`You said “${said}”, message ${users}.`)
  }
}

async function* words(text, ms = 3, field = 'content') {
  for (const word of text.match(/\s*\S+|\s+$/g)) {
    yield { [field]: word }
    await pause(ms)
  }
}

/** Requests that are refused, by what is said. */
const refusals = {
  busy: [429, { message: 'queue: full: send it again later', type: 'rate_limit_error', code: 'rate_limit' }, { 'Retry-After': '3' }],
  'too long': [400, { message: 'This model’s maximum context length is 4096 tokens; the prompt has 5000.', code: 'context_length_exceeded' }],
}

/** An answer in single bytes, with the other line ends that the format allows. */
async function oddBytes(response) {
  const text = ['Reykjavík ’', ' 鯨 🐋', ' end'].map((content) => `data:${JSON.stringify({ choices: [{ delta: { content } }] })}\r\n\r\n`)
  text.push(': a comment\r\r', 'data: {"choices":\ndata: [{"delta":{},"finish_reason":"stop"}]}\n\n', 'data: [DONE]\n\n')
  for (const byte of Buffer.from(text.join(''))) {
    response.write(Buffer.from([byte]))
    await pause(0)
  }
  response.end()
}

async function chat(body, response) {
  const send = (object) => response.write(`data: ${JSON.stringify(object)}\n\n`)
  const chunk = (delta, end = null) => send({ object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: end }], usage: null })
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
  if (body.messages.at(-1).content === 'odd bytes') return oddBytes(response)
  chunk({ role: 'assistant' })
  let tokens = 0
  let end = 'stop'
  for await (const piece of answers(body)) {
    if (response.destroyed) return
    if (piece.broken) return response.destroy()
    if (piece.error) return send({ error: piece.error })
    if (piece.comment) response.write(`: ${piece.comment}\n\n`)
    else if (piece.end) end = piece.end
    else {
      tokens++
      chunk(piece)
    }
  }
  chunk({}, end)
  send({ choices: [], usage: { prompt_tokens: 40, completion_tokens: tokens, prompt_tokens_details: { cached_tokens: 32 } } })
  response.end('data: [DONE]\n\n')
}

/** What the engine is said to do, second by second. */
function live(i) {
  const wave = 1 + 0.25 * Math.sin(i / 4) + (i % 13 === 7 ? 0.8 : 0)
  const ms = { attn_proj: 5.2, attn_core: 2.1, indexer: 1.3, compress: 0.6, router: 0.5, experts: 9.4, shared: 1.9, hc: 0.9, norm: 0.4, head: 2.6, sample: 0.3 }
  const ms_by = Object.fromEntries(Object.entries(ms).map(([k, v]) => [k, v * wave]))
  ms_by.wait = i % 13 === 7 ? 14 : 2.2
  const all = Object.values(ms_by).reduce((a, b) => a + b)
  return {
    tokens_s: 1000 / all,
    prompt_tokens_s: 260,
    ms_by,
    running: 2,
    waiting: 0,
    context_used: 1200 + 17 * i,
    context: 4096,
    cache: { hit_tokens: 300 * i, miss_tokens: 100 * i, bytes: 96 << 20, limit: 256 << 20 },
    memory: { weights: 5.6e9, state: 210e6, cache: 96 << 20, disk: 1.9e9 },
  }
}

async function watched(response, everyMs) {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  for (let i = 0; !response.destroyed; i++) {
    response.write(`data: ${JSON.stringify(live(i))}\n\n`)
    await pause(i < 59 ? everyMs : 1000)
  }
}

async function file(path, response) {
  const name = path === '/' ? 'index.html' : path.slice(1)
  try {
    const text = await readFile(new URL(`dist/${name}`, web))
    response.writeHead(200, { 'Content-Type': types[name.split('.').at(-1)], 'Content-Security-Policy': await policy() })
    response.end(text)
  } catch {
    response.writeHead(404).end()
  }
}

const error = (response, status, said, headers = {}) =>
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify({ error: said }))

async function read(request) {
  let text = ''
  for await (const part of request) text += part
  return JSON.parse(text)
}

/** Starts the server on a free port of this machine. `key`: what it wants as API key. */
export async function start({ key = '', liveMs = 1000, models = ['demo'], port = 0 } = {}) {
  const requests = []
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://x').pathname
    const api = path.startsWith('/v1/') || path.startsWith('/debug/')
    if (api && key && request.headers.authorization !== `Bearer ${key}`) return error(response, 401, { message: 'key: not known', code: 'invalid_api_key' })
    if (path === '/v1/models') return response.end(JSON.stringify({ object: 'list', data: models.map((id) => ({ id, object: 'model', max_model_len: 4096 })) }))
    if (path === '/debug/live') return watched(response, liveMs)
    if (path !== '/v1/chat/completions') return file(path, response)
    const body = await read(request)
    requests.push(body)
    response.on('close', () => (body.left = !response.writableFinished))
    const refused = Object.entries(refusals).find(([word]) => String(body.messages.at(-1).content).includes(word))
    return refused ? error(response, ...refused[1]) : chat(body, response)
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    requests,
    close: () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) console.log((await start({ liveMs: 20 })).address)
