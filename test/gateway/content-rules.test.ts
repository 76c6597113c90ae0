import { randomUUID } from 'node:crypto';
import sharp from 'sharp';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ask, multipartOf } from '../kit/ask.ts';
import { until } from '../kit/cached.ts';
import { APP, bearer, CHATFILES, ORG } from '../kit/easemob.ts';
import { startGateway } from '../kit/gateway.ts';
import { startScriptedUpstream } from '../kit/scripted-upstream.ts';

const EXE = Buffer.concat([Buffer.from('MZ\x90\0\x03\0\0\0', 'latin1'), Buffer.alloc(10_000, 1)]);
const picture = () =>
  sharp({ create: { width: 200, height: 200, channels: 3, background: '#369' } })
    .jpeg()
    .toBuffer();
const AS_ANN = bearer('YWMt-of-ann');
const PARTS = `/${ORG}/${APP}/sdk/chatfiles/part-upload`;

async function start(set: string[]) {
  const upstream = await startScriptedUpstream(() => ({
    body: { entities: [{ uuid: randomUUID(), type: 'chatfile', 'share-secret': 's' }] },
  }));
  onTestFinished(() => upstream[Symbol.asyncDispose]());
  const running = await startGateway({ upstreamUrl: upstream.url, set });
  const send = async (bytes: Buffer, name: string, path = CHATFILES) => {
    const { contentType, body } = multipartOf(bytes, name);
    const headers = { ...AS_ANN, 'content-type': contentType };
    const { status, body: answer } = await ask(running.gateway.url + path, { method: 'POST', headers, body });
    return { status, ...(JSON.parse(answer.toString()) as { error?: string; error_description?: string }) };
  };
  return { ...running, upstream, send };
}

describe('files that the rules deny', () => {
  it('are refused in a word that SDKs know, say what they are, and cost nothing', async () => {
    const { send, upstream, summaries } = await start(['content.rules=deny executables,deny .exe']);
    expect(await send(EXE, 'holiday.jpg')).toMatchObject({
      status: 400,
      error: 'content improper',
      error_description: 'Files of this kind are not accepted here. (application/x-msdownload)',
    });
    expect(await send(await picture(), 'setup.exe')).toMatchObject({ status: 400, error: 'content improper' });
    expect(upstream.asked).toHaveLength(0);
    expect((await send(await picture(), 'a.jpg')).status).toBe(200);
    await until(() => summaries.length === 3);
    expect(summaries).toMatchObject([
      { decision: 'deny', decisionReason: 'CONTENT_REFUSED' },
      { decision: 'deny', decisionReason: 'CONTENT_REFUSED' },
      { decision: 'allow' },
    ]);
  });

  it('are found behind a type that the client made up, and a name that lies', async () => {
    const { send, upstream } = await start(['content.lyingExtensions=deny']);
    expect((await send(EXE, 'a.jpg')).status).toBe(400);
    expect((await send(await picture(), 'a.png')).status).toBe(400);
    expect((await send(Buffer.from('just a text'), 'a.pdf')).status).toBe(400);
    expect((await send(EXE, 'a.exe')).status).toBe(200);
    expect((await send(await picture(), 'a.jpeg')).status).toBe(200);
    expect((await send(Buffer.from('just a text'), 'a.txt')).status).toBe(200);
    expect(upstream.asked).toHaveLength(3);
  });

  it('are denied to the apps that a rule is for, and to no others', async () => {
    const { send } = await start([`content.rules=allow image/* for ${ORG}/${APP},deny * for ${ORG}/${APP}`]);
    expect((await send(EXE, 'a.exe')).status).toBe(400);
    expect((await send(await picture(), 'a.jpg')).status).toBe(200);
    expect((await send(EXE, 'a.exe', '/o2/a2/chatfiles')).status).toBe(200);
  });

  it('are denied also where they are shared with a group', async () => {
    const { send, upstream } = await start(['content.rules=deny executables', 'passthrough=**']);
    const path = `/${ORG}/${APP}/chatgroups/66021836783617/share_files`;
    expect(await send(EXE, 'a.txt', path)).toMatchObject({ status: 400, error: 'content improper' });
    expect(upstream.asked).toHaveLength(0);
    expect((await send(await picture(), 'a.jpg', path)).status).toBe(200);
  });

  it('do not come in parts: nobody could judge them', async () => {
    const { gateway, upstream, summaries } = await start([
      'content.rules=deny executables',
      'passthrough=sdk/chatfiles/part-upload/**',
    ]);
    const headers = { ...AS_ANN, 'content-type': 'application/octet-stream' };
    const begin = await ask(gateway.url + PARTS, { method: 'POST', headers: AS_ANN, body: Buffer.alloc(0) });
    expect(begin.status).toBe(403);
    expect(JSON.parse(begin.body.toString())).toMatchObject({
      error: 'forbidden',
      error_description: 'Uploads in parts are not accepted here, upload the file at once.',
    });
    const part = await ask(`${gateway.url}${PARTS}/x`, { method: 'PUT', headers, body: EXE });
    expect(part.status).toBe(403);
    expect((await ask(`${gateway.url}${PARTS}/x`, { method: 'POST', headers: AS_ANN })).status).toBe(403);
    expect(upstream.asked).toHaveLength(0);
    await until(() => summaries.length === 3);
    expect(summaries.map(({ decisionReason }) => decisionReason)).toEqual(Array(3).fill('PARTS_UNJUDGED'));
  });

  it('do not go by another path: nobody would look at them', async () => {
    const set = ['content.rules=deny executables for acme/*', 'passthrough=**,/easemob/logger/devicelogs'];
    const { gateway, upstream, summaries } = await start(set.map((text) => text.replace('acme', ORG)));
    const form = multipartOf(EXE, 'a.exe');
    const put = (type: string | undefined, body: Buffer, method = 'PUT', path = `/${ORG}/${APP}/users/ann`) =>
      ask(gateway.url + path, { method, headers: { ...AS_ANN, ...(type && { 'content-type': type }) }, body });
    for (const type of [
      form.contentType,
      'Multipart/Mixed; boundary=b',
      'application/octet-stream',
      'image/png',
      'application/x-json-not',
      'text/plain, multipart/form-data; boundary=b',
      undefined,
    ]) {
      const { status, body } = await put(type, form.body);
      expect([type, status]).toEqual([type, 403]);
      expect(JSON.parse(body.toString())).toMatchObject({
        error: 'forbidden',
        error_description: 'Files are accepted here only where files are uploaded.',
      });
    }
    expect((await put(form.contentType, form.body, 'DELETE')).status).toBe(403);
    expect(upstream.asked).toHaveLength(0);
    await until(() => summaries.length === 8);
    expect(summaries.map(({ decisionReason }) => decisionReason)).toEqual(Array(8).fill('BODY_UNJUDGED'));

    for (const type of [
      'application/json',
      'application/json; charset=utf-8',
      'application/merge-patch+json',
      'application/x-www-form-urlencoded',
      'text/plain;charset=UTF-8',
    ]) {
      expect([type, (await put(type, Buffer.from('{}'))).status]).toEqual([type, 200]);
    }
    expect((await put(undefined, Buffer.alloc(0), 'POST')).status).toBe(200);
    expect((await put('application/octet-stream', Buffer.alloc(0), 'DELETE')).status).toBe(200);
    expect((await put('application/json', Buffer.from('{}'), 'POST', `/${ORG}/${APP}/token`)).status).toBe(200);
    // What belongs to another app, or to none, has no rules here.
    expect((await put(form.contentType, form.body, 'POST', '/o2/a2/assets')).status).toBe(200);
    expect((await put(form.contentType, form.body, 'POST', '/easemob/logger/devicelogs')).status).toBe(200);
  });

  it('go up where that is only reported, and are written down', async () => {
    const { gateway, send, upstream, summaries } = await start([
      'content.rules=deny executables',
      'enforce.content=report',
      'passthrough=sdk/chatfiles/part-upload/**,users/*',
    ]);
    expect((await send(EXE, 'a.jpg')).status).toBe(200);
    await ask(gateway.url + PARTS, { method: 'POST', headers: AS_ANN, body: Buffer.alloc(0) });
    await ask(`${gateway.url}/${ORG}/${APP}/users/ann`, { method: 'PUT', headers: AS_ANN, body: EXE });
    expect(upstream.asked).toHaveLength(3);
    await until(() => summaries.length === 3);
    expect(summaries).toMatchObject([
      {
        decision: 'allow',
        wouldDeny: 'CONTENT_REFUSED',
        wouldDenyReason: 'the rule "deny executables", sniffed application/x-msdownload',
      },
      { decision: 'allow', wouldDeny: 'PARTS_UNJUDGED' },
      { decision: 'allow', wouldDeny: 'BODY_UNJUDGED' },
    ]);
  });
});
