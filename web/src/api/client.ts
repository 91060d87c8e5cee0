/** Requests to the API of the service that serves this page. Every error is an ApiError with the problem document. */

import type { components } from "./schema";

export type Schemas = components["schemas"];
export type Job = Schemas["JobOut"];
export type Dataset = Schemas["DatasetOut"];
export type Version = Schemas["VersionOut"];
export type VersionSummary = Schemas["VersionSummary"];
export type Model = Schemas["ModelOut"];
export type Metrics = Schemas["VersionOut"]["metrics"];
export type Session = { keys_needed: boolean; key: string | null; scopes: string[] };

export interface Page<Item> {
  data: Item[];
  next: string | null;
}

/** The page lies in `/ui/`, beside the API, also behind a proxy that adds a prefix. */
export const ROOT = new URL("..", document.baseURI).href.replace(/\/$/, "");
export const NEEDS_SIGN_IN = "isthmus-needs-sign-in";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Schemas["Problem"] | null,
  ) {
    super(problem?.detail ?? `The service answered with the status ${status}.`);
  }
}

export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(ROOT + path, { credentials: "same-origin", ...init, headers: headers(init) });
  } catch {
    throw new Error("The service cannot be reached. Check that it runs, then try again.");
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

/** A page of another origin cannot send this header without permission: the protection of the sign-in cookie. */
function headers(init: RequestInit): HeadersInit {
  const json: Record<string, string> = typeof init.body === "string" ? { "Content-Type": "application/json" } : {};
  return { "X-Isthmus-UI": "1", Accept: "application/json", ...json, ...(init.headers as Record<string, string>) };
}

async function errorOf(response: Response): Promise<ApiError> {
  const problem = await response.json().catch(() => null);
  if (response.status === 401) window.dispatchEvent(new Event(NEEDS_SIGN_IN));
  return new ApiError(response.status, problem);
}

export async function get<Result>(path: string, signal?: AbortSignal): Promise<Result> {
  return (await send(path, { signal })).json();
}

export async function write<Result>(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<Result> {
  const response = await send(path, { method, body: body === undefined ? undefined : JSON.stringify(body) });
  return response.status === 204 ? (undefined as Result) : response.json();
}

/** Upload a dataset; only XMLHttpRequest reports the progress of a request body. */
export function upload(form: FormData, onProgress: (fraction: number) => void): Promise<Dataset> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}/datasets`);
    request.setRequestHeader("X-Isthmus-UI", "1");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Error("The upload was interrupted. Try again."));
    request.onload = () => {
      const body = JSON.parse(request.responseText || "null");
      if (request.status < 300) resolve(body);
      else reject(new ApiError(request.status, body));
    };
    request.send(form);
  });
}
