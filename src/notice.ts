/** A component of the gateway whose state a notice is about: well again, or away, and the gateway goes on without it. */
export type About = { component: string; is: 'ok' | 'degraded' };

/** Tells the operator of something that is no request: a start, a state that has changed, and of what. */
export type Notice = (level: 'info' | 'warn' | 'error', message: string, details?: object, about?: About) => void;
