// The page as a whole: list, conversation, panel; and the keyboard.

import type { ComponentChildren, RefObject } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { useCell } from './cell'
import { Composer } from './composer'
import { Conversations } from './conversations'
import { Keys, Preferences } from './dialogs'
import { Icon, Mark } from './icons'
import { type Action, actionOf, keysFor } from './keys'
import { LivePanel } from './live'
import { Messages, TroubleBox } from './messages'
import { IconButton, useSession } from './parts'
import { Settings } from './settings'
import { path } from './tree'
import { short } from './words'

type Side = 'list' | 'panel'
type Tab = 'live' | 'controls'

/** Below these widths the sides lie over the conversation instead of beside it. */
const roomFor = { list: '(min-width: 800px)', panel: '(min-width: 1160px)' }

export function App() {
  const session = useSession()
  const layout = useLayout()
  const [tab, setTab] = useState<Tab>('live')
  const [dialog, setDialog] = useState<'preferences' | 'keys'>()
  const [editing, setEditing] = useState<string>()
  const conversation = useCell(session.current)
  const field = useRef<HTMLTextAreaElement>(null)
  const search = useRef<HTMLInputElement>(null)
  useTheme()
  useEffect(() => {
    document.title = conversation.tip ? `${conversation.title} · baleen` : 'baleen'
    setEditing(undefined)
  }, [conversation.id, conversation.title])
  const write = () => field.current!.focus()
  useLayoutEffect(() => {
    if (matchMedia('(hover: hover)').matches) write() // elsewhere that brings up a keyboard that nobody asked for
  }, [conversation.id])

  const editLast = () => {
    const last = path(conversation).findLast((m) => m.role === 'user')
    if (last && !session.runs.value.has(conversation.id)) setEditing(last.id)
  }
  const showPanel = (wanted: Tab) => {
    if (layout.open('panel') && tab === wanted) return layout.set('panel', false)
    setTab(wanted)
    layout.set('panel', true)
  }
  const page = (by: number) => {
    const scroller = document.querySelector('.scroll')!
    scroller.scrollBy({ top: by * 0.85 * scroller.clientHeight })
  }
  const retry = () => {
    const last = path(conversation).at(-1)
    if (last) void session.retry(last)
  }
  const seeking = useRef(false)
  const find = () => {
    seeking.current = true
    if (layout.open('list')) seek()
    else layout.set('list', true)
  }
  const seek = () => {
    if (seeking.current) search.current?.focus()
    seeking.current &&= search.current === null
  }
  useLayoutEffect(seek)
  const actions: Record<Action, () => void> = {
    new: () => (session.begin(), layout.leave(), write()),
    find,
    write,
    list: () => layout.set('list', !layout.open('list')),
    live: () => showPanel('live'),
    controls: () => showPanel('controls'),
    retry,
    edit: editLast,
    above: () => void session.step(-1),
    below: () => void session.step(1),
    keys: () => setDialog('keys'),
    preferences: () => setDialog('preferences'),
    undo: () => session.undo(),
  }
  useKeyboard(actions, () => (layout.drawer ? layout.leave() : session.stop()), dialog !== undefined)

  return (
    <div class="app">
      <p class="unseen" role="status">
        {useCell(session.said)}
      </p>
      {layout.open('list') && (
        <aside class={layout.drawer === 'list' ? 'list drawer' : 'list'} aria-label="List of conversations">
          <Conversations
            search={search}
            onOpened={layout.leave}
            onPreferences={() => setDialog('preferences')}
            onKeys={() => setDialog('keys')}
            onClose={() => layout.set('list', false)}
          />
        </aside>
      )}
      <main inert={layout.drawer !== undefined}>
        <Bar listOpen={layout.open('list')} panelOpen={layout.open('panel')} actions={actions} />
        <Chat editing={editing} onEdit={(id) => (setEditing(id), id ?? write())} onPreferences={() => setDialog('preferences')}>
          <Composer field={field} onEditLast={editLast} onControls={() => showPanel('controls')} onPage={page} />
        </Chat>
      </main>
      {layout.open('panel') && (
        <aside class={layout.drawer === 'panel' ? 'panel drawer' : 'panel'} aria-label="Panel">
          <Panel tab={tab} onTab={setTab} onClose={() => layout.set('panel', false)} />
        </aside>
      )}
      {layout.drawer && <div class="shade" onClick={layout.leave} />}
      {dialog === 'preferences' && <Preferences onClose={() => setDialog(undefined)} />}
      {dialog === 'keys' && <Keys onClose={() => setDialog(undefined)} />}
      <NoticeBox />
    </div>
  )
}

interface Layout {
  /** The side that lies over the conversation now. */
  drawer: Side | undefined
  open: (side: Side) => boolean
  set: (side: Side, open: boolean) => void
  /** Closes the drawer. */
  leave: () => void
}

/** Which sides are open. Where there is room that is kept; a drawer is for the moment. */
function useLayout(): Layout {
  const session = useSession()
  const preferences = useCell(session.preferences)
  const room = { list: useMedia(roomFor.list), panel: useMedia(roomFor.panel) }
  const [wanted, setWanted] = useState<Side>()
  const back = useRef<Element | null>(null)
  const drawer = wanted && !room[wanted] ? wanted : undefined
  useEffect(() => {
    if (drawer) {
      const element = document.querySelector('.drawer')
      if (element?.contains(document.activeElement)) return // it was opened for what has the focus
      back.current = document.activeElement
      element?.querySelector('button')?.focus()
    } else if (back.current instanceof HTMLElement) {
      back.current.focus()
      back.current = null
    }
  }, [drawer])
  return {
    drawer,
    open: (side) => (room[side] ? preferences[side] : drawer === side),
    set: (side, open) => (room[side] ? session.prefer({ [side]: open }) : setWanted(open ? side : undefined)),
    leave: () => setWanted(undefined),
  }
}

function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches)
  useEffect(() => {
    const list = matchMedia(query)
    const listen = () => setHolds(list.matches)
    list.addEventListener('change', listen)
    return () => list.removeEventListener('change', listen)
  }, [query])
  return holds
}

function useTheme(): void {
  const { theme } = useCell(useSession().preferences)
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = theme
  }, [theme])
}

/** The keys know what is on show: they change with it at once, not after the next frame. */
function useKeyboard(actions: Record<Action, () => void>, escape: () => void, inDialog: boolean): void {
  useLayoutEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (inDialog || event.defaultPrevented) return // a dialog has the keyboard to itself
      const action = actionOf(event)
      if (action) {
        event.preventDefault()
        actions[action]()
      } else if (event.key === 'Escape') escape()
    }
    document.addEventListener('keydown', listen)
    return () => document.removeEventListener('keydown', listen)
  })
}

interface BarProps {
  listOpen: boolean
  panelOpen: boolean
  actions: Record<Action, () => void>
}

function Bar({ listOpen, panelOpen, actions }: BarProps) {
  const session = useSession()
  const conversation = useCell(session.current)
  return (
    <header class="top">
      {!listOpen && <IconButton icon="list" label="List of conversations" shortcut={keysFor('list')} onClick={actions.list} />}
      {!listOpen && <IconButton icon="add" label="New conversation" shortcut={keysFor('new')} onClick={actions.new} />}
      <h1>{conversation.tip ? conversation.title : <span class="unseen">New conversation</span>}</h1>
      <Pulse open={panelOpen} onClick={actions.live} />
    </header>
  )
}

/** The speed of the moment; opens the panel that says more. */
function Pulse({ open, onClick }: { open: boolean; onClick: () => void }) {
  const { seconds, trouble } = useCell(useSession().watched)
  const now = seconds.at(-1)
  const words = now ? (now.tokens_s > 0 ? `${short(now.tokens_s)} tokens/s` : 'idle') : trouble ? 'not heard' : '…'
  return (
    <button type="button" class="pulse" aria-expanded={open} title={`Live panel (${keysFor('live')})`} onClick={onClick}>
      <span class={now?.tokens_s ? 'dot on' : 'dot'} aria-hidden="true" />
      <span>
        <span class="unseen">Live: </span>
        {words}
      </span>
    </button>
  )
}

interface ChatProps {
  editing: string | undefined
  onEdit: (id: string | undefined) => void
  onPreferences: () => void
  children: ComponentChildren
}

function Chat({ editing, onEdit, onPreferences, children }: ChatProps) {
  const session = useSession()
  const conversation = useCell(session.current)
  const running = useCell(session.runs).has(conversation.id)
  const trouble = useCell(session.trouble)
  const scroller = useRef<HTMLDivElement>(null)
  const { below, toEnd } = useFollow(scroller, `${conversation.id} ${running}`)
  const empty = conversation.tip === null
  return (
    <div class={empty ? 'chat empty' : 'chat'}>
      <div class="scroll" ref={scroller}>
        <div class="column">
          {empty ? <Welcome /> : <Messages conversation={conversation} editing={editing} onEdit={onEdit} onPreferences={onPreferences} />}
        </div>
      </div>
      <div class="dock">
        {below && !empty && (
          <button type="button" class="to-end" aria-label="To the end" title="To the end" onClick={toEnd}>
            <Icon name="down" />
          </button>
        )}
        {trouble && <TroubleBox trouble={trouble} onPreferences={onPreferences} />}
        {children}
        {empty && (
          <p class="tip hint">
            <kbd>Enter</kbd> sends · <kbd>Shift Enter</kbd> begins a new line · <kbd>{keysFor('keys')}</kbd> shows all keys
          </p>
        )}
      </div>
    </div>
  )
}

/** Keeps the end in view while it grows, unless the reader has scrolled away from it. A new `reason` goes to the end. */
function useFollow(scroller: RefObject<HTMLDivElement | null>, reason: string): { below: boolean; toEnd: () => void } {
  const [below, setBelow] = useState(false)
  const following = useRef(true)
  const toEnd = () => {
    following.current = true
    scroller.current!.scrollTop = scroller.current!.scrollHeight
  }
  useLayoutEffect(toEnd, [reason])
  useEffect(() => {
    const s = scroller.current!
    const listen = () => {
      following.current = s.scrollHeight - s.scrollTop - s.clientHeight < 48
      setBelow(!following.current)
    }
    const grown = new ResizeObserver(() => (following.current ? toEnd() : listen()))
    grown.observe(s)
    grown.observe(s.firstElementChild!)
    s.addEventListener('scroll', listen, { passive: true })
    return () => {
      grown.disconnect()
      s.removeEventListener('scroll', listen)
    }
  }, [])
  return { below, toEnd }
}

function Welcome() {
  const session = useSession()
  const models = useCell(session.models)
  useCell(session.preferences)
  return (
    <div class="welcome">
      <Mark size={72} />
      <h2>baleen</h2>
      <p>{models ? `${session.model} is listening.` : 'Connecting …'}</p>
    </div>
  )
}

const tabs: { key: Tab; name: string }[] = [
  { key: 'live', name: 'Live' },
  { key: 'controls', name: 'Prompt and sampling' },
]

function Panel({ tab, onTab, onClose }: { tab: Tab; onTab: (tab: Tab) => void; onClose: () => void }) {
  const turn = (event: KeyboardEvent) => {
    if (event.altKey || (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight')) return
    const other = tab === 'live' ? 'controls' : 'live'
    onTab(other)
    document.getElementById(`tab-${other}`)?.focus()
  }
  return (
    <>
      <header class="panel-head">
        <div role="tablist" aria-label="Panel" onKeyDown={turn}>
          {tabs.map((t) => (
            <button
              key={t.key}
              type="button"
              role="tab"
              id={`tab-${t.key}`}
              aria-selected={tab === t.key}
              aria-controls="panel-body"
              tabIndex={tab === t.key ? 0 : -1}
              onClick={() => onTab(t.key)}
            >
              {t.name}
            </button>
          ))}
        </div>
        <IconButton icon="close" label="Close the panel" onClick={onClose} />
      </header>
      <div class="panel-body" role="tabpanel" id="panel-body" aria-labelledby={`tab-${tab}`} tabIndex={0}>
        {tab === 'live' ? <LivePanel /> : <Settings />}
      </div>
    </>
  )
}

function NoticeBox() {
  const session = useSession()
  const notice = useCell(session.notice)
  return (
    <div class="notices" role="status">
      {notice && (
        <div class="notice">
          <span>{notice.text}</span>
          {notice.undo && (
            <button type="button" title={keysFor('undo')} onClick={() => session.undo()}>
              Undo
            </button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => session.notify(undefined)} />
        </div>
      )}
    </div>
  )
}
