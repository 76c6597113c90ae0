import { randomBytes } from 'node:crypto';

/** The app that tests use. */
export const ORG = 'o1';
export const APP = 'a1';
export const CHATFILES = `/${ORG}/${APP}/chatfiles`;

/** An upload's answer, as far as tests read it. */
export type Uploaded = { uri: string; entities: [{ uuid: string; type: string; 'share-secret'?: string }] };

/** A form with one file of these bytes. */
export function formOf(bytes: Uint8Array<ArrayBuffer> | string, name = 'picture.bin'): FormData {
  const form = new FormData();
  form.append('file', new Blob([bytes]), name);
  return form;
}

/** Random bytes, for files that no two are alike. */
export const fileOf = (bytes: number): Uint8Array<ArrayBuffer> => new Uint8Array(randomBytes(bytes));

/** The headers that a bearer of this token sends. */
export const bearer = (token: string, more: Record<string, string> = {}): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  ...more,
});

/** Uploads as a client does, and gives the answer's first entity. */
export async function uploadTo(
  url: string,
  token: string,
  bytes: Uint8Array<ArrayBuffer> | string,
  headers: Record<string, string> = {},
): Promise<{ uuid: string; secret: string | undefined }> {
  const response = await fetch(`${url}${CHATFILES}`, {
    method: 'POST',
    headers: bearer(token, headers),
    body: formOf(bytes),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`upload: ${response.status} ${text}`);
  const [entity] = (JSON.parse(text) as Uploaded).entities;
  return { uuid: entity.uuid, secret: entity['share-secret'] };
}
