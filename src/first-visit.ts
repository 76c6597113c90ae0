import { fileURLToPath } from 'node:url';

/** The app and the user that exist in the emulator from the start, so that a first visit needs no set-up. */
export const DEMO = { org: 'demo-org', app: 'demo-app', username: 'alice', password: 'wonderland' };

const PICTURE = fileURLToPath(new URL('../samples/picture.jpg', import.meta.url));

/** The lines of a first visit, ready to paste into another terminal: they need `curl` and `sed` alone. */
export function firstVisit(gatewayUrl: string, emulatorUrl: string): string {
  const { org, app, username, password } = DEMO;
  const login = JSON.stringify({ grant_type: 'password', username, password });
  // Inside single quotes for the shell, inside double quotes for curl: a path may have spaces and quotes of its own.
  const picture = `'file=@"${PICTURE.replace(/["\\]/g, '\\$&').replaceAll("'", String.raw`'\''`)}"'`;
  const take = (field: string) => `sed -n 's/.*"${field}" *: *"\\([^"]*\\)".*/\\1/p'`;
  return `
Paste this into another terminal:

echo '1. Log in, as an app does: at Easemob itself, which the emulator plays here.'
TOKEN=$(curl -s -X POST ${emulatorUrl}/${org}/${app}/token -H 'Content-Type: application/json' -d '${login}' | ${take('access_token')})

echo '2. Upload a picture through the gateway, for holders of its secret alone.'
curl -s -H "Authorization: Bearer $TOKEN" -H 'restrict-access: true' -F ${picture} -o answer.json ${gatewayUrl}/${org}/${app}/chatfiles
UUID=$(tr -d '\\n' < answer.json | ${take('uuid')})
SECRET=$(tr -d '\\n' < answer.json | ${take('share-secret')})
cat answer.json; echo

echo '3. Download the picture, then its thumbnail.'
curl -s -H "Authorization: Bearer $TOKEN" -H "share-secret: $SECRET" -H 'Accept: application/octet-stream' -o picture.jpg ${gatewayUrl}/${org}/${app}/chatfiles/$UUID
curl -s -H "Authorization: Bearer $TOKEN" -H "share-secret: $SECRET" -H 'Accept: application/octet-stream' -H 'thumbnail: true' -o thumbnail.jpg ${gatewayUrl}/${org}/${app}/chatfiles/$UUID
ls -l picture.jpg thumbnail.jpg
`;
}
