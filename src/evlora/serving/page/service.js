// What the service is asked over HTTP: JSON, and a recording that is sent with its progress.

import { askForToken, currentToken } from "./token.js";

/** A problem in one sentence that a reader can act on. */
export class Problem extends Error {
  /** @param status of HTTP; 0 where there was no answer */
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }

  /** Whether asking again may help. */
  get isPassing() { return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500; }
}

export const address = (path) => new URL(path, document.baseURI);

/** The JSON at this path; asks for a token where one is needed. */
export async function getJson(path) {
  return withToken(async () => {
    let response;
    try {
      response = await fetch(address(path), { headers: authorization() });
    } catch {
      throw new Problem(UNREACHABLE);
    }
    return { status: response.status, text: await response.text() };
  });
}

/** A file of this page, such as a sample. */
export async function getFile(path) {
  let response;
  try {
    response = await fetch(address(path));
  } catch {
    throw new Problem(UNREACHABLE);
  }
  if (!response.ok) throw new Problem(`${path}: the service has no such file (status ${response.status}).`, response.status);
  return new File([await response.blob()], path.split("/").pop());
}

/**
 * What the recognizer answers to a recording.
 *
 * @param files {recording: File, frames?: File}
 * @param options {bundle, top, relevance}
 * @param progress called with the share that was sent, 0 to 1
 * @param signal aborts it
 */
export async function predict(files, options, progress, signal) {
  const query = new URLSearchParams({ moments: true, pictures: true, ...options });
  const form = new FormData();
  form.append("recording", files.recording);
  if (files.frames) form.append("frames", files.frames);
  return withToken(() => send(address(`predict?${query}`), form, progress, signal), signal);
}

/** Asks again with a token as long as the service wants one. */
async function withToken(ask, signal) {
  for (let isFirst = true; ; isFirst = false) {
    const { status, text } = await ask();
    if (status !== 401) return parsed(status, text);
    const isGiven = await askForToken(isFirst && !currentToken() ? "" : sentenceOf(text), signal);
    if (!isGiven) throw new Problem("The service answers only with a token, and none was given.", status);
  }
}

function send(url, form, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not report what was sent
    request.open("POST", url);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded / event.total));
    request.addEventListener("load", () => resolve({ status: request.status, text: request.responseText }));
    request.addEventListener("error", () => reject(new Problem(CUT)));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

const UNREACHABLE = "The service does not answer. Check that evlora serve is running, and the network between.";
const CUT = "The connection ended before there was an answer. The file may be larger than the service takes, it may have changed since it was chosen, or the service has stopped.";

function authorization() {
  const token = currentToken();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function parsed(status, text) {
  if (status < 200 || status > 299) throw new Problem(sentenceOf(text) || `The service answered with status ${status} and no reason.`, status);
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem("The service answered with something that is no JSON. Is another program listening at this address?");
  }
}

/** The service's own sentence, or nothing where there is none. */
function sentenceOf(text) {
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : "";
  } catch {
    return "";
  }
}
