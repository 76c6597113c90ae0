/** What an SDK tells an app of a picture message. */
export type Picture = {
  url: string;
  thumb: string;
  secret: string;
  width: number;
  height: number;
  file_length: number;
};

/** What an SDK tells an app of an error. */
export type SdkError = {
  type?: number;
  message?: string;
  status?: number;
  data?: { status?: number; error?: string; error_description?: string } & Record<string, unknown>;
};

/** What came of sending: what the callbacks of the upload, and the promise, were given. */
export type Sent = {
  complete?: { uri: string; url: string; thumb: string; entities: [{ uuid: string; 'share-secret': string }] };
  error?: SdkError;
  sent?: { localMsgId: string; serverMsgId: string };
  refused?: SdkError;
};

/** A file as it crosses into the page: its bytes, or so many zeros. */
export type SentFile = { filename: string; type: string } & ({ base64: string } | { bytes: number });

/** What an app's code does with an SDK; `page/driver.js` does it. */
export type Driver = {
  login(how: {
    appKey: string;
    apiUrl: string;
    socketUrl: string;
    user: string;
    token?: string;
    password?: string;
  }): Promise<{ token?: string; error?: SdkError }>;
  sendPicture(what: {
    to: string;
    chatType: 'singleChat' | 'groupChat';
    file: SentFile;
    thumbnail?: { width: number; height: number };
  }): Promise<Sent>;
  nextPicture(): Promise<Picture>;
  show(what: { url: string; into?: string }): Promise<{ width: number; height: number } | { broken: true }>;
  download(what: {
    url: string;
    secret?: string;
    headers?: Record<string, string>;
  }): Promise<{ base64?: string; type?: string; error?: SdkError }>;
  logout(): Promise<void>;
};

/** A user's device: somewhere an SDK runs. */
export type Device = Driver;

/** Drives by evaluating expressions where the SDK runs. */
export function createDriver(evaluate: (expression: string) => Promise<unknown>): Driver {
  const call =
    (name: keyof Driver) =>
    async (what?: unknown): Promise<never> =>
      (await evaluate(`driver.${name}(${what === undefined ? '' : JSON.stringify(what)})`)) as never;
  return {
    login: call('login'),
    sendPicture: call('sendPicture'),
    nextPicture: call('nextPicture'),
    show: call('show'),
    download: call('download'),
    logout: call('logout'),
  };
}
