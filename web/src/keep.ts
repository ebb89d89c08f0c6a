// What the browser keeps: conversations in IndexedDB, preferences and the key in localStorage. Where a browser keeps nothing
// (private windows of some), everything works until the page is closed, and the page says so.

import { type DBSchema, type IDBPDatabase, openDB } from 'idb'
import { type Controls, readControls } from './controls'
import { type Conversation, type Head, headOf, readConversation, record } from './tree'

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation }
  heads: { key: string; value: Head }
}

/** The conversations that are kept. Other tabs are told of each change. */
export class Shelf {
  #db: IDBPDatabase<Schema> | undefined
  #memory = new Map<string, Conversation>()
  #tabs = typeof BroadcastChannel === 'undefined' ? undefined : new BroadcastChannel('baleen')

  /** False where the browser refuses to keep anything. */
  get lasting(): boolean {
    return this.#db !== undefined
  }

  async open(): Promise<void> {
    try {
      this.#db = await openDB<Schema>('baleen', 1, {
        upgrade(db) {
          db.createObjectStore('conversations', { keyPath: 'id' })
          db.createObjectStore('heads', { keyPath: 'id' })
        },
        blocking: (_current, _next, event) => (event.target as IDBDatabase).close(),
      })
    } catch (e) {
      console.warn('baleen: conversations are not kept', e)
    }
  }

  /** Calls back with the id of a conversation that another tab has changed. */
  onChange(listener: (id: string) => void): void {
    this.#tabs?.addEventListener('message', (event) => listener(String(event.data)))
  }

  async heads(): Promise<Head[]> {
    return this.#db ? this.#db.getAll('heads') : [...this.#memory.values()].map(headOf)
  }

  async get(id: string): Promise<Conversation | undefined> {
    return this.#db ? this.#db.get('conversations', id) : this.#memory.get(id)
  }

  async all(): Promise<Conversation[]> {
    return this.#db ? this.#db.getAll('conversations') : [...this.#memory.values()]
  }

  async put(c: Conversation): Promise<void> {
    if (this.#db) {
      const tx = this.#db.transaction(['conversations', 'heads'], 'readwrite')
      await Promise.all([tx.objectStore('conversations').put(c), tx.objectStore('heads').put(headOf(c)), tx.done])
    } else {
      this.#memory.set(c.id, c)
    }
    this.#tabs?.postMessage(c.id)
  }

  async remove(id: string): Promise<void> {
    if (this.#db) {
      const tx = this.#db.transaction(['conversations', 'heads'], 'readwrite')
      await Promise.all([tx.objectStore('conversations').delete(id), tx.objectStore('heads').delete(id), tx.done])
    } else {
      this.#memory.delete(id)
    }
    this.#tabs?.postMessage(id)
  }

  /** The ids of conversations in which a text was said, by anyone, on any branch. */
  async search(words: string): Promise<Set<string>> {
    const sought = words.toLowerCase()
    const said = (c: Conversation) =>
      c.title.toLowerCase().includes(sought) || Object.values(c.messages).some((m) => m.text.toLowerCase().includes(sought))
    const found = new Set<string>()
    if (!this.#db) return new Set((await this.all()).filter(said).map((c) => c.id))
    for await (const cursor of this.#db.transaction('conversations').store) {
      if (said(cursor.value)) found.add(cursor.value.id)
    }
    return found
  }
}

const format = 'baleen-conversations'

export function toFile(conversations: Conversation[]): string {
  return JSON.stringify({ format, version: 1, conversations }, null, 1)
}

/** Reads what toFile wrote. Throws what is wrong with it, in words for a reader. */
export function fromFile(text: string): Conversation[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('That file is not JSON.')
  }
  const file = record(value, 'That file')
  if (file.format !== format || !Array.isArray(file.conversations)) throw new Error('That file holds no conversations of baleen.')
  if (file.version !== 1) throw new Error(`That file has version ${file.version}; this page reads version 1.`)
  return file.conversations.map((c, i) => {
    try {
      return readConversation(c)
    } catch (e) {
      throw new Error(`Conversation ${i + 1} of that file cannot be read: ${(e as Error).message}.`)
    }
  })
}

export interface Preferences {
  theme: 'auto' | 'light' | 'dark'
  key: string
  model: string
  /** Whether the side panels are open, where there is room for them. */
  list: boolean
  panel: boolean
  /** Of the last conversation: a new one begins with them. */
  controls: Controls
}

const place = 'baleen'

export function readPreferences(): Preferences {
  let kept: Partial<Preferences> = {}
  try {
    kept = record(JSON.parse(localStorage.getItem(place) ?? '{}'), 'preferences')
  } catch {
    // Nothing kept, or not by us: begin anew.
  }
  return {
    theme: kept.theme === 'light' || kept.theme === 'dark' ? kept.theme : 'auto',
    key: typeof kept.key === 'string' ? kept.key : '',
    model: typeof kept.model === 'string' ? kept.model : '',
    list: kept.list !== false,
    panel: kept.panel !== false,
    controls: readControls(kept.controls),
  }
}

export function keepPreferences(p: Preferences): void {
  try {
    localStorage.setItem(place, JSON.stringify(p))
  } catch {
    // Full or refused: they hold until the page is closed.
  }
}
