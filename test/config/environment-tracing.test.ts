import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config.ts';

const BASE = 'OTEL_EXPORTER_OTLP_ENDPOINT';
const OWN = 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT';
const load = (env: Record<string, string>, set: string[] = []) => loadConfig({ env, set, emulator: true });

describe('the collector of traces', () => {
  it.each([
    ['none', {}, undefined],
    ['the base, and the path of traces below it', { [BASE]: 'http://c:4318' }, 'http://c:4318/v1/traces'],
    ['a base with a path', { [BASE]: 'https://c/otlp/' }, 'https://c/otlp/v1/traces'],
    ['the address for traces, as it is', { [BASE]: 'http://c:4318', [OWN]: 'http://t/x' }, 'http://t/x'],
    ['none where the SDK is off', { [BASE]: 'http://c:4318', OTEL_SDK_DISABLED: 'true' }, undefined],
    ['none where traces have no exporter', { [BASE]: 'http://c:4318', OTEL_TRACES_EXPORTER: 'none' }, undefined],
    ['that where they have this exporter', { [OWN]: 'http://c/', OTEL_TRACES_EXPORTER: 'otlp' }, 'http://c/'],
  ])('is taken from the variables of OpenTelemetry: %s', async (_, env, url) => {
    const { config, warnings, origins } = await load(env);
    expect(config.tracing.otlpUrl).toBe(url);
    expect(warnings).toEqual([]);
    expect(origins.get('tracing.otlpUrl')?.source).toBe(url && 'environment');
  });

  it("is the configuration's own where that names one", async () => {
    const { config } = await load({ [OWN]: 'http://other:4318' }, ['tracing.otlpUrl=http://mine:4318']);
    expect(config.tracing.otlpUrl).toBe('http://mine:4318');
  });

  it('is not spoken to by gRPC, and its operator is told what to do', async () => {
    const { config, warnings } = await load({ [BASE]: 'http://c:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });
    expect(config.tracing.otlpUrl).toBeUndefined();
    expect(warnings).toEqual([expect.stringMatching(/grpc.*tracing\.otlpUrl.*4318/)]);
  });

  it('is a mistake where its address is none, and the address is not repeated', async () => {
    for (const text of ['collector:4318', 'ftp://c', 'http://user:password@c:4318', 'http://c?key=password']) {
      const loading = load({ [BASE]: text });
      await expect(loading).rejects.toThrow(/OTEL_EXPORTER_OTLP_ENDPOINT.*http:\/\/otel-collector:4318/);
      await expect(loading).rejects.not.toThrow(/password/);
      await expect(load({}, [`tracing.otlpUrl=${text}`])).rejects.toThrow(/tracing\.otlpUrl/);
    }
  });

  it.each(['2', '-0.1', 'half'])('gets no part of the traces like %s', async (ratio) => {
    await expect(load({}, [`tracing.sampleRatio=${ratio}`])).rejects.toThrow(/a number from 0 to 1/);
  });
});
