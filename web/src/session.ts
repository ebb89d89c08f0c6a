// What the page knows and what a reader can do with it. Views read the cells and call the methods; nothing else changes them.

import { Cell } from './cell'
import { type Controls, lasting, requestFields } from './controls'
import { fromFile, keepPreferences, type Preferences, readPreferences, Shelf, toFile } from './keep'
import {
  branch, type Call, type Conversation, drop, type End, type Head, headOf, leafBelow, type Message, newConversation, newId, path, put, settle,
  type Trouble,
} from './tree'
import { answer, type Live, type Model, models, type Piece, requestMessages, watch, WireError } from './wire'

/** An answer that is being written. `draft` changes with every piece, at most once per frame. */
export interface Run {
  conversation: string
  draft: Cell<Message>
  /** How much of the prompt has been read, while nothing has been said. */
  reading: Cell<{ done: number; total: number } | undefined>
  began: number
  abort: AbortController
}

/** What /debug/live said of late, newest last; `undefined` for a second in which nothing was heard. */
export interface Watch {
  seconds: (Live | undefined)[]
  trouble: Trouble | undefined
}

export interface Notice {
  text: string
  undo?: () => void
}

const watchedSeconds = 60
const saveEveryMs = 2000
const noticeMs = 8000
const undoMs = 20_000

export class Session {
  readonly preferences: Cell<Preferences>
  readonly heads = new Cell<Head[]>([])
  /** The conversation on show; one that nobody has written in is not kept. */
  readonly current: Cell<Conversation>
  readonly runs = new Cell<ReadonlyMap<string, Run>>(new Map())
  readonly models = new Cell<Model[] | undefined>(undefined)
  readonly trouble = new Cell<Trouble | undefined>(undefined)
  readonly watched = new Cell<Watch>({ seconds: [], trouble: undefined })
  readonly notice = new Cell<Notice | undefined>(undefined)
  /** What a screen reader is told when it happens. */
  readonly said = new Cell('')
  readonly shelf = new Shelf()
  #noticeTimer: number | undefined
  #watching: AbortController | undefined

  constructor() {
    this.preferences = new Cell(readPreferences())
    this.current = new Cell(newConversation(this.preferences.value.controls, Date.now()))
  }

  async start(): Promise<void> {
    await this.shelf.open()
    await this.#readHeads()
    this.shelf.onChange((id) => this.#changedElsewhere(id))
    const id = location.hash.slice(1)
    if (id) await this.open(id)
    if (!this.shelf.lasting) this.notify({ text: 'This browser keeps nothing here: conversations are gone when the page is closed.' })
    await this.connect()
  }

  // Connection

  async connect(): Promise<void> {
    this.startWatching()
    await this.#readModels()
  }

  async #readModels(): Promise<void> {
    try {
      this.models.set(await models(this.preferences.value.key))
      this.trouble.set(undefined)
    } catch (e) {
      this.trouble.set(troubleOf(e))
    }
  }

  get model(): string {
    const known = this.models.value ?? []
    return known.find((m) => m.id === this.preferences.value.model)?.id ?? known[0]?.id ?? 'baleen'
  }

  prefer(change: Partial<Preferences>): void {
    const p = { ...this.preferences.value, ...change }
    this.preferences.set(p)
    keepPreferences(p)
  }

  /** Follows the server's account of itself, while the page can be seen. */
  startWatching(): void {
    this.stopWatching()
    this.#watching = new AbortController()
    void this.#watch(this.#watching.signal)
  }

  stopWatching(): void {
    this.#watching?.abort()
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for (let wait = 1; !signal.aborted; wait = Math.min(2 * wait, 30)) {
      try {
        for await (const live of watch(this.preferences.value.key, signal)) {
          wait = 1
          this.#hear(live, undefined)
        }
      } catch (e) {
        if (signal.aborted) return
        this.#hear(undefined, troubleOf(e))
      }
      await pause(1000 * wait, signal)
    }
  }

  #hear(live: Live | undefined, trouble: Trouble | undefined): void {
    if (live && this.trouble.value) void this.#readModels() // it is back
    const seconds = [...this.watched.value.seconds, live].slice(-watchedSeconds)
    this.watched.set({ seconds, trouble })
  }

  // Conversations

  async #readHeads(): Promise<void> {
    const heads = await this.shelf.heads()
    this.heads.set(heads.sort((a, b) => b.changed - a.changed))
  }

  async #changedElsewhere(id: string): Promise<void> {
    await this.#readHeads()
    if (id !== this.current.value.id || this.runs.value.has(id)) return
    const c = await this.shelf.get(id)
    if (c) this.current.set(c)
  }

  begin(): void {
    this.current.set(newConversation(this.preferences.value.controls, Date.now()))
    if (location.hash) history.pushState(null, '', location.pathname + location.search)
    this.said.set('New conversation')
  }

  async open(id: string): Promise<void> {
    if (id === this.current.value.id) return
    const c = await this.#get(id)
    if (!c) return
    this.current.set(c)
    if (location.hash !== `#${id}`) history.pushState(null, '', `#${id}`)
    this.said.set(`Conversation ${c.title}`)
  }

  /** Opens the conversation that is so many places below the current one in the list. */
  async step(by: number): Promise<void> {
    const heads = this.heads.value
    const at = heads.findIndex((h) => h.id === this.current.value.id)
    const next = heads[at < 0 ? 0 : at + by]
    if (next) await this.open(next.id)
  }

  async #get(id: string): Promise<Conversation | undefined> {
    if (id === this.current.value.id) return this.current.value
    const c = await this.shelf.get(id)
    return c && !this.runs.value.has(id) ? settle(c) : c
  }

  /** Keeps a conversation, and shows it where it is the one on show. */
  async #keep(c: Conversation): Promise<void> {
    if (c.id === this.current.value.id) this.current.set(c)
    this.heads.set([headOf(c), ...this.heads.value.filter((h) => h.id !== c.id)].sort((a, b) => b.changed - a.changed))
    await this.shelf.put(c).catch((e) => this.notify({ text: `The browser could not keep this conversation: ${e.message}` }))
  }

  async rename(id: string, title: string): Promise<void> {
    const c = await this.#get(id)
    if (c && title.trim() !== '') await this.#keep({ ...c, title: title.trim() })
  }

  async remove(id: string): Promise<void> {
    const c = await this.#get(id)
    if (!c) return
    this.stop(id)
    await this.shelf.remove(id)
    this.heads.set(this.heads.value.filter((h) => h.id !== id))
    if (id === this.current.value.id) this.begin()
    this.notify({ text: `Deleted “${c.title}”.`, undo: () => void this.#keep(settle(c)) })
  }

  async removeAll(): Promise<void> {
    const all = await this.shelf.all()
    for (const c of all) {
      this.stop(c.id)
      await this.shelf.remove(c.id)
    }
    await this.#readHeads()
    this.begin()
    this.notify({ text: `Deleted ${count(all.length)}.`, undo: () => void all.forEach((c) => this.#keep(settle(c))) })
  }

  async exported(id?: string): Promise<string> {
    const all = id === undefined ? await this.shelf.all() : [await this.#get(id)]
    return toFile(all.filter((c) => c !== undefined).map(settle))
  }

  async import(text: string): Promise<void> {
    try {
      const read = fromFile(text)
      for (const c of read) {
        const same = await this.shelf.get(c.id)
        const other = same && same.changed !== c.changed
        await this.#keep(settle(other ? { ...c, id: newId() } : c))
      }
      this.notify({ text: `Imported ${count(read.length)}.` })
    } catch (e) {
      this.notify({ text: (e as Error).message })
    }
  }

  /** Takes back what the notice tells of. */
  undo(): void {
    const notice = this.notice.value
    this.notify(undefined)
    notice?.undo?.()
  }

  notify(notice: Notice | undefined): void {
    clearTimeout(this.#noticeTimer)
    this.notice.set(notice)
    if (notice) this.#noticeTimer = setTimeout(() => this.notice.set(undefined), notice.undo ? undoMs : noticeMs)
  }

  setControls(change: Partial<Controls>): void {
    const c = { ...this.current.value, controls: { ...this.current.value.controls, ...change } }
    this.prefer({ controls: lasting(c.controls) })
    if (c.tip === null) this.current.set(c)
    else void this.#keep(c)
  }

  // Saying things

  async send(text: string): Promise<void> {
    const c = this.current.value
    if (text.trim() === '' || this.runs.value.has(c.id)) return
    await this.#say(c, { id: newId(), parent: c.tip, role: 'user', text, at: Date.now() })
  }

  async edit(message: Message, text: string): Promise<void> {
    const c = this.current.value
    if (text.trim() === '' || this.runs.value.has(c.id)) return
    await this.#say(c, { id: newId(), parent: message.parent, role: 'user', text, at: Date.now() })
  }

  /** Gives the results of tools, in the order of the calls, and lets the model go on. */
  async giveResults(calls: Call[], results: string[]): Promise<void> {
    let c = this.current.value
    calls.forEach((call, i) => {
      c = put(c, { id: newId(), parent: c.tip, role: 'tool', callId: call.id, text: results[i] ?? '', at: Date.now() }, Date.now())
    })
    await this.#answer(c, c.tip!)
  }

  async #say(c: Conversation, message: Message): Promise<void> {
    history.replaceState(null, '', `#${c.id}`)
    await this.#answer(put(c, message, Date.now()), message.id)
  }

  /** Answers anew. What was answered before stays as another version, unless there was nothing in it. */
  async retry(message: Message): Promise<void> {
    const c = this.current.value
    if (this.runs.value.has(c.id)) return
    if (message.role !== 'assistant') return this.#answer(c, message.id)
    if (message.parent !== null) await this.#answer(isEmpty(message) ? drop(c, message) : c, message.parent)
  }

  /** Goes on with an answer that ended early. */
  async continue(message: Message): Promise<void> {
    const c = this.current.value
    if (!this.runs.value.has(c.id)) await this.#answer(c, message.parent!, message)
  }

  async show(message: Message): Promise<void> {
    const c = this.current.value
    await this.#keep({ ...c, tip: leafBelow(c, message.id) })
  }

  async branch(message: Message): Promise<void> {
    const c = branch(this.current.value, message.id, Date.now())
    await this.#keep(c)
    await this.open(c.id)
    this.notify({ text: 'A new conversation goes on from here.' })
  }

  stop(id: string = this.current.value.id): void {
    this.runs.value.get(id)?.abort.abort()
  }

  async #answer(c: Conversation, parent: string, begun?: Message): Promise<void> {
    const draft: Message = begun
      ? { ...begun, end: 'open', trouble: undefined }
      : { id: newId(), parent, role: 'assistant', text: '', at: Date.now(), end: 'open' }
    const run: Run = {
      conversation: c.id,
      draft: new Cell(draft),
      reading: new Cell(undefined),
      began: performance.now(),
      abort: new AbortController(),
    }
    this.#setRun(c.id, run)
    this.said.set('Answering')
    const said = [...requestMessages(c.controls.system, path(c, parent)), ...(begun ? [continued(begun)] : [])]
    const request = { model: this.model, messages: said, ...requestFields(c.controls) }
    const current = put(c, draft, Date.now())
    await this.#keep(current)
    const done = await this.#receive(run, request)
    this.#setRun(c.id, undefined)
    await this.#finish(c.id, done)
    this.said.set(done.trouble?.what ?? (done.end === 'stopped' ? 'Stopped' : 'The answer is complete'))
  }

  async #finish(id: string, done: Message): Promise<void> {
    const c = await this.#get(id)
    if (!c?.messages[done.id]) return // deleted while it was written
    await this.#keep({ ...c, messages: { ...c.messages, [done.id]: done }, changed: Date.now() })
  }

  #setRun(id: string, run: Run | undefined): void {
    const runs = new Map(this.runs.value)
    if (run) runs.set(id, run)
    else runs.delete(id)
    this.runs.set(runs)
  }

  /** Collects the pieces of an answer; shows them once per frame and keeps them now and then, should the page go away. */
  async #receive(run: Run, request: object): Promise<Message> {
    const w = new Writer(run.draft.value, run.began)
    let frame = 0
    const show = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0
        run.draft.set(w.message())
      })
    }
    const keeper = setInterval(() => void this.#finish(run.conversation, w.message()), saveEveryMs)
    try {
      for await (const piece of answer(request, this.preferences.value.key, run.abort.signal)) {
        if ('reading' in piece) run.reading.set(piece.reading)
        else w.add(piece)
        show()
      }
      return w.message('stop')
    } catch (e) {
      if (run.abort.signal.aborted) return w.message('stopped')
      return { ...w.message(), end: 'broken', trouble: troubleOf(e) }
    } finally {
      clearInterval(keeper)
      cancelAnimationFrame(frame)
    }
  }
}

/** Puts the pieces of an answer together and takes the times. */
class Writer {
  #text: string
  #thinking: string
  #calls: Call[] = []
  #end: End | undefined
  #usage: Extract<Piece, { usage: unknown }>['usage'] | undefined
  #first: number | undefined
  #thought: number | undefined

  constructor(
    readonly begun: Message,
    readonly began: number,
  ) {
    this.#text = begun.text
    this.#thinking = begun.thinking ?? ''
  }

  add(piece: Exclude<Piece, { reading: unknown }>): void {
    const now = performance.now() - this.began
    if ('usage' in piece) this.#usage = piece.usage
    else if ('end' in piece) this.#end = piece.end
    else {
      this.#first ??= now
      if ('thinking' in piece) this.#thinking += piece.thinking
      else this.#thought ??= now
      if ('text' in piece) this.#text += piece.text
      if ('call' in piece) this.#addCall(piece)
    }
  }

  #addCall(piece: Extract<Piece, { call: number }>): void {
    const call = (this.#calls[piece.call] ??= { id: '', name: '', arguments: '' })
    this.#calls[piece.call] = {
      id: piece.id || call.id,
      name: piece.name || call.name,
      arguments: call.arguments + (piece.arguments ?? ''),
    }
  }

  /** The message so far, ended where the server said so, or with `end` where it said nothing of an end. */
  message(end?: End): Message {
    const total = performance.now() - this.began
    const usage = this.#usage
    const m: Message = { ...this.begun, text: this.#text, end: end === 'stopped' ? end : end && (this.#end ?? end) }
    m.end ??= 'open'
    m.measure = {
      prompt: usage?.prompt_tokens,
      cached: usage?.prompt_tokens_details?.cached_tokens ?? usage?.prompt_cache_hit_tokens,
      completion: usage?.completion_tokens,
      thinking: usage?.completion_tokens_details?.reasoning_tokens,
      firstMs: this.#first,
      totalMs: total,
    }
    if (this.#thinking) {
      m.thinking = this.#thinking
      m.thinkingMs = this.begun.thinkingMs ?? (this.#thought ?? total) - (this.#first ?? 0)
    }
    const calls = this.#calls.filter(Boolean)
    if (calls.length) m.calls = calls
    return m
  }
}

/** An answer whose text the server is to go on with. */
const continued = (m: Message) => ({ role: 'assistant', content: m.text, reasoning_content: m.thinking, prefix: true })

export const isEmpty = (m: Message) => m.text === '' && !m.thinking && !m.calls?.length

const count = (n: number) => `${n} conversation${n === 1 ? '' : 's'}`

function troubleOf(e: unknown): Trouble {
  if (e instanceof WireError) return e.trouble
  const broken = e instanceof TypeError // what fetch throws when a connection ends in the middle
  return broken
    ? { what: 'The connection broke before the answer was complete.', help: 'See whether baleen still runs, then try again.' }
    : { what: 'Something went wrong in this page.', help: String((e as Error)?.message ?? e) }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}
