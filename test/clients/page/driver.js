/**
 * Runs beside an SDK, in a browser's page or in jsdom, and does with it what an app's code would do. What comes out of
 * each call is plain data, so that a test can read it outside.
 */
(() => {
  const { WebIM } = globalThis;
  /** @type {Map<string, any>} */
  const connections = new Map();
  const inbox = [];
  const waiting = [];

  const base64Of = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.addEventListener('load', () => resolve(reader.result.slice(reader.result.indexOf(',') + 1)));
      reader.addEventListener('error', () => reject(reader.error));
      reader.readAsDataURL(blob);
    });

  const fileOf = ({ base64, filename, type, bytes }) => {
    const text = base64 === undefined ? undefined : atob(base64);
    const content = text === undefined ? new Uint8Array(bytes) : Uint8Array.from(text, (c) => c.charCodeAt(0));
    return new File([content], filename, { type });
  };

  /** What a callback was given, without what cannot leave the page. */
  const plain = (value) => {
    if (value instanceof Error)
      return { name: value.name, message: value.message, type: value.type, data: plain(value.data) };
    if (value instanceof XMLHttpRequest) return { status: value.status };
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object') return typeof value === 'function' ? undefined : value;
    if (value instanceof Blob) return { size: value.size, type: value.type };
    const names = ['name', 'message'].filter((name) => name in value && !Object.hasOwn(value, name));
    return Object.fromEntries([...names, ...Object.keys(value)].map((name) => [name, plain(value[name])]));
  };

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  globalThis.driver = {
    /** Logs in, with a token or a password. */
    async login({ appKey, apiUrl, socketUrl, user, token, password }) {
      inbox.length = 0;
      waiting.length = 0;
      const connection = new WebIM.connection({ appKey, isHttpDNS: false, apiUrl, url: socketUrl });
      const connected = new Promise((resolve, reject) => {
        connection.addEventHandler('driver', {
          onConnected: () => resolve(),
          onError: (error) => reject(error),
          onImageMessage(message) {
            const told = plain(message);
            const next = waiting.shift();
            if (next) next(told);
            else inbox.push(told);
          },
        });
      });
      connections.set('me', connection);
      try {
        await connection.open(token === undefined ? { user, pwd: password } : { user, accessToken: token });
        await connected;
      } catch (error) {
        return { error: plain(error) };
      }
      return { token: connection.token };
    },

    /** Sends a picture, and gives what `send` and the callbacks of the upload were told. */
    async sendPicture({ to, chatType, file, thumbnail }) {
      const connection = connections.get('me');
      const data = fileOf(file);
      const told = {};
      const { promise: failed, resolve: fail } = Promise.withResolvers();
      const message = WebIM.message.create({
        type: 'img',
        chatType,
        to,
        width: 1600,
        height: 1200,
        ...(thumbnail ? { thumbnailWidth: thumbnail.width, thumbnailHeight: thumbnail.height } : {}),
        file: { url: '', filename: data.name, filetype: 'jpg', data },
        ext: {},
        onFileUploadComplete(answer) {
          told.complete = plain(answer);
        },
        onFileUploadError(error) {
          told.error = plain(error);
          fail();
        },
      });
      const settled = connection.send(message).then(
        (value) => (told.sent = plain(value)),
        (reason) => (told.refused = plain(reason)),
      );
      // Older SDKs leave the promise open when the upload fails.
      await Promise.race([settled, failed.then(() => pause(50))]);
      return told;
    },

    /** The next picture message that comes in. */
    nextPicture() {
      return inbox.length > 0 ? inbox.shift() : new Promise((resolve) => waiting.push(resolve));
    },

    /** Shows a picture, and gives its size, or that it is broken. */
    show({ url, into = 'body' }) {
      return new Promise((resolve) => {
        const image = new Image();
        image.addEventListener('load', () => resolve({ width: image.naturalWidth, height: image.naturalHeight }));
        image.addEventListener('error', () => resolve({ broken: true }));
        image.src = url;
        document.querySelector(into).append(image);
      });
    },

    /** Downloads with the SDK, and gives the bytes as base64 or the error. */
    download({ url, secret, headers = {} }) {
      return new Promise((resolve) => {
        WebIM.utils.download.call(connections.get('me'), {
          url,
          secret,
          headers,
          onFileDownloadComplete: (blob) => resolve(base64Of(blob).then((base64) => ({ base64, type: blob.type }))),
          onFileDownloadError: (error) => resolve({ error: plain(error) }),
        });
      });
    },

    logout() {
      for (const connection of connections.values()) connection.close();
      connections.clear();
    },
  };
})();
