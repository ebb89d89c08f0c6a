// A conversation is a tree: an edit or a second try is a sibling, nothing that was said is lost. What is shown is the path
// from the root to the tip. Everything here is a pure function of values that nobody changes in place.

import { type Controls, emptyControls, readControls } from './controls'

export type Role = 'user' | 'assistant' | 'tool'

/** A call of a tool that the model asked for. `arguments` is JSON text as the model wrote it. */
export interface Call {
  id: string
  name: string
  arguments: string
}

/** What an answer took. Tokens as the server counted them; times in ms as the browser saw them. */
export interface Measure {
  prompt?: number
  cached?: number
  completion?: number
  thinking?: number
  firstMs?: number
  totalMs: number
}

/** Why an answer ended: as the server said, or `stopped` by the reader, `broken` by trouble, `open` while it is written. */
export type End = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'stopped' | 'broken' | 'open'

export interface Message {
  id: string
  parent: string | null
  role: Role
  text: string
  at: number
  thinking?: string
  thinkingMs?: number
  calls?: Call[]
  /** Of a tool's result: the call that it answers. */
  callId?: string
  end?: End
  trouble?: Trouble
  measure?: Measure
}

/** What went wrong, for a reader: a sentence, what helps, and what can be done about it from here. */
export interface Trouble {
  what: string
  help?: string
  key?: boolean
}

export interface Conversation {
  id: string
  title: string
  made: number
  changed: number
  messages: Record<string, Message>
  tip: string | null
  controls: Controls
}

/** What the list of conversations needs to know of one. */
export type Head = Pick<Conversation, 'id' | 'title' | 'changed'>

export const headOf = ({ id, title, changed }: Conversation): Head => ({ id, title, changed })

export function newConversation(controls: Controls, now: number): Conversation {
  return { id: newId(), title: 'New conversation', made: now, changed: now, messages: {}, tip: null, controls }
}

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('')
}

/** The messages from the root to one of them, by default to the tip. */
export function path(c: Conversation, to: string | null = c.tip): Message[] {
  const found: Message[] = []
  for (let id = to; id !== null; ) {
    const message: Message | undefined = c.messages[id]
    if (!message) break
    found.push(message)
    id = message.parent
  }
  return found.reverse()
}

/** The messages with the same parent, in the order in which they came. */
export function siblings(c: Conversation, message: Message): Message[] {
  return Object.values(c.messages)
    .filter((m) => m.parent === message.parent)
    .sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))
}

/** The newest leaf at or below a message: where a reader left that branch. */
export function leafBelow(c: Conversation, id: string): string {
  const newest = new Map<string, Message>()
  for (const m of Object.values(c.messages)) {
    if (m.parent === null) continue
    const other = newest.get(m.parent)
    if (!other || m.at >= other.at) newest.set(m.parent, m)
  }
  let leaf = id
  for (let next = newest.get(leaf); next; next = newest.get(leaf)) leaf = next.id
  return leaf
}

/** The conversation with a message put in or replaced, as the tip. */
export function put(c: Conversation, message: Message, now: number): Conversation {
  const first = Object.keys(c.messages).length === 0
  return {
    ...c,
    title: first && message.role === 'user' ? titleOf(message.text) : c.title,
    changed: now,
    messages: { ...c.messages, [message.id]: message },
    tip: message.id,
  }
}

/** The conversation without a message that has none below it; the tip is its parent. */
export function drop(c: Conversation, message: Message): Conversation {
  const { [message.id]: _, ...messages } = c.messages
  return { ...c, messages, tip: message.parent }
}

/** A new conversation of the path to a message. */
export function branch(c: Conversation, at: string, now: number): Conversation {
  const messages = Object.fromEntries(path(c, at).map((m) => [m.id, m]))
  return { ...c, id: newId(), title: `${c.title} (branch)`, made: now, changed: now, messages, tip: at }
}

const longestTitle = 60

export function titleOf(text: string): string {
  const line = text.trim().split('\n', 1)[0]!.replace(/\s+/g, ' ')
  if (line.length <= longestTitle) return line || 'New conversation'
  const cut = line.slice(0, longestTitle)
  return cut.slice(0, Math.max(cut.lastIndexOf(' '), longestTitle / 2)) + ' …'
}

/** The calls of an answer that have no result yet on the path to the tip. */
export function openCalls(c: Conversation): { answer: Message; calls: Call[] } | undefined {
  const shown = path(c)
  const at = shown.findLastIndex((m) => m.role === 'assistant')
  const answer = shown[at]
  if (!answer?.calls?.length || answer.end === 'open') return undefined
  const answered = new Set(shown.slice(at + 1).map((m) => m.callId))
  const calls = answer.calls.filter((call) => !answered.has(call.id))
  return calls.length && shown.slice(at + 1).every((m) => m.role === 'tool') ? { answer, calls } : undefined
}

/** An answer that was being written when the page went away. */
export function settle(c: Conversation): Conversation {
  const left = Object.values(c.messages).filter((m) => m.end === 'open')
  if (!left.length) return c
  const messages = { ...c.messages }
  for (const m of left) messages[m.id] = { ...m, end: 'broken', trouble: { what: 'The page was closed while this was written.' } }
  return { ...c, messages }
}

/** Reads a conversation from a file. Throws what is wrong with it. */
export function readConversation(value: unknown): Conversation {
  const c = record(value, 'a conversation')
  const messages: Record<string, Message> = {}
  for (const [id, m] of Object.entries(record(c.messages, 'messages'))) messages[id] = readMessage(id, m)
  for (const m of Object.values(messages)) {
    if (m.parent !== null && !messages[m.parent]) throw new Error(`message ${m.id} follows one that is not there`)
  }
  for (const m of Object.values(messages)) checkRooted(messages, m)
  const tip = c.tip === null ? null : text(c.tip, 'tip')
  if (tip !== null && !messages[tip]) throw new Error('the tip is not among the messages')
  return {
    id: text(c.id, 'id'),
    title: text(c.title, 'title'),
    made: number(c.made, 'made'),
    changed: number(c.changed, 'changed'),
    messages,
    tip,
    controls: c.controls === undefined ? emptyControls : readControls(c.controls),
  }
}

function checkRooted(messages: Record<string, Message>, from: Message): void {
  let steps = Object.keys(messages).length
  for (let m: Message | undefined = from; m && m.parent !== null; m = messages[m.parent]) {
    if (steps-- === 0) throw new Error(`message ${from.id} follows itself`)
  }
}

function readMessage(id: string, value: unknown): Message {
  const m = record(value, `message ${id}`)
  if (m.id !== id) throw new Error(`message ${id} calls itself otherwise`)
  const role = m.role
  if (role !== 'user' && role !== 'assistant' && role !== 'tool') throw new Error(`message ${id} has no known role`)
  const message: Message = {
    id,
    parent: m.parent === null ? null : text(m.parent, 'parent'),
    role,
    text: text(m.text, 'text'),
    at: number(m.at, 'at'),
  }
  if (m.thinking !== undefined) message.thinking = text(m.thinking, 'thinking')
  if (m.thinkingMs !== undefined) message.thinkingMs = number(m.thinkingMs, 'thinkingMs')
  if (m.callId !== undefined) message.callId = text(m.callId, 'callId')
  if (Array.isArray(m.calls)) message.calls = m.calls.map(readCall)
  if (m.end !== undefined) message.end = text(m.end, 'end') as End
  if (m.trouble !== undefined) message.trouble = { what: text(record(m.trouble, 'trouble').what, 'trouble') }
  if (m.measure !== undefined) message.measure = readMeasure(m.measure)
  return message
}

function readCall(value: unknown): Call {
  const c = record(value, 'a call')
  return { id: text(c.id, 'id'), name: text(c.name, 'name'), arguments: text(c.arguments, 'arguments') }
}

function readMeasure(value: unknown): Measure {
  const m = record(value, 'measure')
  const measure: Measure = { totalMs: number(m.totalMs, 'totalMs') }
  for (const key of ['prompt', 'cached', 'completion', 'thinking', 'firstMs'] as const) {
    if (m[key] !== undefined) measure[key] = number(m[key], key)
  }
  return measure
}

export function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not an object`)
  return value as Record<string, unknown>
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new Error(`${what} is not text`)
  return value
}

function number(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new Error(`${what} is not a number`)
  return value
}
