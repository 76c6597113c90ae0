import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Line } from '../../src/server/line.ts';

/** A line on a connection that only remembers what is done to it. */
function createLine({ maxUnparsedBytes = 100 } = {}) {
  const socket = {
    writable: true,
    readableEnded: false,
    bytesRead: 0,
    writableLength: 0,
    destroyed: 0,
    destroy: () => (socket.destroyed += 1),
    destroySoon: () => (socket.destroyed += 1),
  };
  const line = new Line(socket as unknown as Socket, maxUnparsedBytes);
  const log: string[] = [];
  /** Joins a request; calling what comes back says that its answer is out. */
  const join = (name: string, { isWhole = true } = {}) => {
    const res = new EventEmitter();
    const req = { complete: isWhole, name };
    const begin = () => void log.push(name);
    line.join({ req: req as unknown as IncomingMessage, res: res as unknown as ServerResponse, begin });
    return () => void res.emit('close');
  };
  const breakLine = () =>
    line.break({
      refuse: () => void log.push('refused'),
      breakOff: (req) => void log.push(`broken off: ${(req as unknown as { name: string }).name}`),
    });
  return { line, socket, log, join, breakLine };
}

describe('the line of a connection', () => {
  it('begins each request when the answer before it is out', () => {
    const { log, join } = createLine();
    const answerFirst = join('first');
    const answerSecond = join('second');
    join('third');
    expect(log).toEqual(['first']);
    answerFirst();
    expect(log).toEqual(['first', 'second']);
    answerSecond();
    expect(log).toEqual(['first', 'second', 'third']);
  });

  it('never begins what waits behind an answer that closed the connection', () => {
    const { log, join, socket } = createLine();
    const answer = join('first');
    join('second');
    socket.writable = false;
    answer();
    expect(log).toEqual(['first']);
  });

  it('cuts a client that sends more than a hundred requests ahead', () => {
    const { join, socket } = createLine();
    join('first');
    for (let i = 1; i <= 100; i += 1) join(`${i}`);
    expect(socket.destroyed).toBe(0);
    join('one too many');
    expect(socket.destroyed).toBe(1);
  });

  it('refuses unreadable bytes at once when nobody is before them', () => {
    const { log, breakLine } = createLine();
    breakLine();
    expect(log).toEqual(['refused']);
  });

  it('refuses unreadable bytes behind the answers to what came before them', () => {
    const { log, join, breakLine } = createLine();
    const answerFirst = join('first');
    const answerSecond = join('second');
    breakLine();
    answerFirst();
    expect(log).toEqual(['first', 'second']);
    answerSecond();
    expect(log).toEqual(['first', 'second', 'refused']);
  });

  it('leaves unreadable bytes of a body to the exchange whose body it is', () => {
    const { log, join, breakLine } = createLine();
    join('upload', { isWhole: false });
    breakLine();
    expect(log).toEqual(['upload', 'broken off: upload']);
  });

  it('answers unreadable bytes once, however many follow', () => {
    const { log, breakLine, socket } = createLine();
    breakLine();
    breakLine();
    expect([log, socket.destroyed]).toEqual([['refused'], 0]);
  });

  it('cuts a client that sends too much behind them, and one that has said that no more will come', () => {
    const endless = createLine();
    endless.breakLine();
    endless.socket.bytesRead = 101;
    endless.breakLine();
    expect(endless.socket.destroyed).toBe(1);

    const over = createLine();
    over.breakLine();
    over.socket.readableEnded = true;
    over.breakLine();
    expect(over.socket.destroyed).toBe(1);
  });

  it('expires when it idles or its client does not read, and not while a request is worked on', () => {
    const { line, join, socket } = createLine();
    const answer = join('first');
    line.expire();
    expect(socket.destroyed).toBe(0);
    socket.writableLength = 1;
    line.expire();
    expect(socket.destroyed).toBe(1);
    socket.writableLength = 0;
    answer();
    line.expire();
    expect(socket.destroyed).toBe(2);
  });
});
