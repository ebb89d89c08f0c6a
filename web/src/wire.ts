// What goes over the wire, and what comes back. Addresses are relative to the page, so that it also works below a path.

import type { Call, End, Message, Trouble } from './tree'

/** One line of a text/event-stream that matters: data, or a comment. */
export type ServerEvent = { data: string } | { comment: string }

/** Reads a text/event-stream as it comes. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  let data: string[] = []
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop()!
      for (const line of lines) {
        if (line === '') {
          if (data.length) yield { data: data.join('\n') }
          data = []
        } else if (line.startsWith(':')) yield { comment: line.slice(1).trim() }
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''))
      }
    }
  } finally {
    reader.cancel().catch(() => {}) // it may be broken already: the reader has left either way
  }
}

/** Trouble with the server, told in plain words. */
export class WireError extends Error {
  constructor(readonly trouble: Trouble) {
    super(trouble.what)
  }
}

async function ask(address: string, key: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers)
  if (key) headers.set('Authorization', `Bearer ${key}`)
  let response: Response
  try {
    response = await fetch(new URL(address, document.baseURI), { ...init, headers })
  } catch (e) {
    if ((e as Error).name === 'AbortError') throw e
    throw new WireError({ what: 'The server cannot be reached.', help: 'See whether baleen still runs, then try again.' })
  }
  if (!response.ok) throw new WireError(await refusal(response))
  return response
}

async function refusal(response: Response): Promise<Trouble> {
  let said: { message?: string; code?: string; n_prompt_tokens?: number; n_ctx?: number } = {}
  try {
    said = (await response.json()).error ?? {}
  } catch {
    // No body, or one of a proxy: the status must do.
  }
  return explain(response.status, said, response.headers.get('Retry-After'))
}

function explain(status: number, said: { message?: string; code?: string }, retryAfter: string | null): Trouble {
  const words = said.message ?? ''
  const after = retryAfter && /^\d+$/.test(retryAfter) ? `in ${retryAfter} s` : 'in a moment'
  switch (true) {
    case status === 401 || status === 403:
      return { what: 'The server wants an API key, and this is not it.', help: 'Enter the key under Preferences.', key: true }
    case said.code === 'context_length_exceeded':
      return { what: 'This conversation is longer than the model can read.', help: `${words} Branch from an earlier message, or begin a new one.`.trim() }
    case said.code === 'shutting_down':
      return { what: 'The server is shutting down.', help: 'Try again when it is back.' }
    case status === 429 || status === 503:
      return { what: 'The server is busy.', help: `Try again ${after}. ${words}`.trim() }
    case status === 413:
      return { what: 'The message is too large for the server.', help: words }
    case status === 400 || status === 422:
      return { what: 'The server did not accept the request.', help: words }
    case status >= 500:
      return { what: `The server failed (${status}).`, help: words || 'Its log says more.' }
  }
  return { what: `The server answered ${status}.`, help: words }
}

export interface Model {
  id: string
  /** How many tokens it can read and write in all. */
  max_model_len?: number
}

export async function models(key: string): Promise<Model[]> {
  const response = await ask('v1/models', key)
  const body = await response.json()
  return Array.isArray(body.data) ? body.data.filter((m: Model) => typeof m.id === 'string') : []
}

export interface Usage {
  prompt_tokens?: number
  completion_tokens?: number
  prompt_cache_hit_tokens?: number
  prompt_tokens_details?: { cached_tokens?: number }
  completion_tokens_details?: { reasoning_tokens?: number }
}

/** A piece of an answer. `reading` is how much of the prompt has been read, as far as the server tells. */
export type Piece =
  | { thinking: string }
  | { text: string }
  | { call: number; id?: string; name?: string; arguments?: string }
  | { reading: { done: number; total: number } | undefined }
  | { usage: Usage }
  | { end: End }

/** Asks for an answer and gives its pieces as they come. Throws WireError, or AbortError when stopped. */
export async function* answer(request: object, key: string, signal: AbortSignal): AsyncGenerator<Piece> {
  const body = JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } })
  const response = await ask('v1/chat/completions', key, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, signal })
  let ended = false
  for await (const event of readEvents(response.body!)) {
    if ('comment' in event) yield { reading: readProgress(event.comment) }
    else if (event.data === '[DONE]') return
    else
      for (const piece of readChunk(event.data)) {
        ended ||= 'end' in piece
        yield piece
      }
  }
  if (!ended) throw new WireError({ what: 'The connection broke before the answer was complete.', help: 'Try again, or continue from here.' })
}

/** A keep-alive may say how far the prompt has been read: two numbers with a stroke between. */
function readProgress(comment: string): { done: number; total: number } | undefined {
  const numbers = /(\d+)\s*\/\s*(\d+)/.exec(comment)
  return numbers ? { done: Number(numbers[1]), total: Number(numbers[2]) } : undefined
}

interface Chunk {
  error?: { message?: string; code?: string }
  usage?: Usage | null
  choices?: {
    delta?: {
      content?: string | null
      reasoning_content?: string | null
      tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[]
    }
    finish_reason?: End | null
  }[]
}

function* readChunk(data: string): Generator<Piece> {
  let chunk: Chunk
  try {
    chunk = JSON.parse(data)
  } catch {
    throw new WireError({ what: 'The server sent something that is no part of an answer.', help: data.slice(0, 200) })
  }
  if (chunk.error) throw new WireError(explain(500, chunk.error, null))
  const choice = chunk.choices?.[0]
  if (choice?.delta?.reasoning_content) yield { thinking: choice.delta.reasoning_content }
  if (choice?.delta?.content) yield { text: choice.delta.content }
  for (const call of choice?.delta?.tool_calls ?? []) yield { call: call.index, id: call.id, ...call.function }
  if (choice?.finish_reason) yield { end: choice.finish_reason }
  if (chunk.usage) yield { usage: chunk.usage }
}

/** The messages of a request. Thinking goes along with the calls that it led to, as the model's encoding wants it. */
export function requestMessages(system: string, shown: Message[]): object[] {
  const list: object[] = system.trim() === '' ? [] : [{ role: 'system', content: system }]
  for (const m of shown) {
    if (m.role === 'user') list.push({ role: 'user', content: m.text })
    else if (m.role === 'tool') list.push({ role: 'tool', tool_call_id: m.callId, content: m.text })
    else if (m.calls?.length) list.push({ role: 'assistant', content: m.text, reasoning_content: m.thinking ?? '', tool_calls: m.calls.map(requestCall) })
    else if (m.text !== '') list.push({ role: 'assistant', content: m.text })
  }
  return list
}

const requestCall = (c: Call) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.arguments } })

/**
 * What /debug/live says once a second: of that second, save the cache's tokens, which count from the server's start. Times
 * in ms per batch, in which each answer gets a token; sizes in tokens and bytes.
 */
export interface Live {
  tokens_s: number
  /** Of prompts that are read. */
  prompt_tokens_s?: number
  ms_by: Record<string, number>
  running: number
  waiting: number
  context_used: number
  context: number
  cache: { hit_tokens: number; miss_tokens: number; bytes: number; limit: number }
  memory: Record<string, number>
}

export async function* watch(key: string, signal: AbortSignal): AsyncGenerator<Live> {
  const response = await ask('debug/live', key, { headers: { Accept: 'text/event-stream' }, signal })
  for await (const event of readEvents(response.body!)) {
    if ('data' in event) yield JSON.parse(event.data)
  }
}
