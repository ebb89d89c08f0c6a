// Small pieces that several views use.

import type { ComponentChildren } from 'preact'
import { createContext } from 'preact'
import { useContext, useEffect, useRef, useState } from 'preact/hooks'
import { Icon, type IconName } from './icons'
import type { Session } from './session'

export const SessionContext = createContext<Session | undefined>(undefined)

export function useSession(): Session {
  return useContext(SessionContext)!
}

interface IconButtonProps {
  icon: IconName
  label: string
  onClick: () => void
  class?: string
  disabled?: boolean
  pressed?: boolean
  shortcut?: string
}

export function IconButton({ icon, label, onClick, class: kind, disabled, pressed, shortcut }: IconButtonProps) {
  return (
    <button
      type="button"
      class={`icon-button ${kind ?? ''}`}
      aria-label={label}
      title={shortcut ? `${label} (${shortcut})` : label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  )
}

const thanksMs = 1500

/** Copies a text and says so. */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false)
  const session = useSession()
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), thanksMs)
    return () => clearTimeout(timer)
  }, [done])
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setDone(true)
      session.said.set('Copied')
    } catch {
      session.notify({ text: 'The browser does not let this page copy; select the text instead.' })
    }
  }
  return <IconButton icon={done ? 'done' : 'copy'} label={`Copy ${what}`} onClick={() => void copy()} />
}

interface DialogProps {
  title: string
  onClose: () => void
  children: ComponentChildren
}

/** A modal dialog; the browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null)
  useEffect(() => element.current!.showModal(), [])
  return (
    <dialog
      ref={element}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => event.target === element.current && event.currentTarget.close()}
    >
      <div class="dialog-body">
        <header>
          <h2>{title}</h2>
          <IconButton icon="close" label="Close" onClick={() => element.current!.close()} />
        </header>
        {children}
      </div>
    </dialog>
  )
}

/** Gives the reader a file. */
export function download(name: string, text: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

/** Makes a text area as high as its text, up to what the style sheet allows. */
export function fit(area: HTMLTextAreaElement | null): void {
  if (!area) return
  area.style.height = 'auto'
  area.style.height = `${area.scrollHeight}px`
}

/** True for the Enter that sends: not with Shift, and not the one that ends the composing of a character. */
export function isSending(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing
}
