/** Hooks that load data of the API, once, page by page or repeatedly. */

import { useCallback, useEffect, useState } from "preact/hooks";
import { get, type Page } from "./client";

export interface Loaded<Result> {
  data: Result | null;
  error: Error | null;
  reload: () => void;
}

/** Load a path, again when it changes, and every `seconds` while the tab is visible. A null path loads nothing. */
export function useLoad<Result>(path: string | null, seconds = 0): Loaded<Result> {
  const [state, setState] = useState<{ data: Result | null; error: Error | null }>({ data: null, error: null });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((value) => value + 1), []);
  useEffect(() => setState({ data: null, error: null }), [path]);
  useEffect(() => {
    if (path === null) return;
    const aborter = new AbortController();
    get<Result>(path, aborter.signal).then(
      (data) => setState({ data, error: null }),
      (error) => aborter.signal.aborted || setState((old) => ({ ...old, error })),
    );
    return () => aborter.abort();
  }, [path, round]);
  useEffect(() => {
    if (!seconds) return;
    const timer = setInterval(() => document.hidden || reload(), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds, reload]);
  return { ...state, reload };
}

export interface Paged<Item> extends Loaded<Item[]> {
  /** Loads the next page; null on the last one. */
  more: (() => void) | null;
}

/** Load the pages of a list; `path` ends in a query or has none. */
export function usePages<Item>(path: string): Paged<Item> {
  const first = useLoad<Page<Item>>(path);
  const [rest, setRest] = useState<{ items: Item[]; next: string | null } | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => setRest(null), [first.data]);
  const next = rest ? rest.next : (first.data?.next ?? null);
  const loadMore = () => {
    const glue = path.includes("?") ? "&" : "?";
    get<Page<Item>>(`${path}${glue}after=${encodeURIComponent(next!)}`).then(
      (page) => setRest((old) => ({ items: [...(old?.items ?? []), ...page.data], next: page.next })),
      setError,
    );
  };
  const data = first.data ? [...first.data.data, ...(rest?.items ?? [])] : null;
  return { data, error: first.error ?? error, reload: first.reload, more: next ? loadMore : null };
}

/** Run an action of a button: whether it runs, and its error. */
export function useAction(): { busy: boolean; error: Error | null; run: (action: () => Promise<unknown>) => void } {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const run = (action: () => Promise<unknown>) => {
    setBusy(true);
    setError(null);
    action()
      .catch(setError)
      .finally(() => setBusy(false));
  };
  return { busy, error, run };
}
