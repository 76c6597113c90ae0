/** Tells the operator of something that is no request: a start, a state that has changed. */
export type Notice = (level: 'info' | 'warn' | 'error', message: string, details?: object) => void;
