/** Draws `picture.jpg`, the photograph-sized file that the first visit uploads: a lake in the mountains at dusk. */
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const WIDTH = 1600;
const HEIGHT = 1200;
const SHORE = 760;

/** The same picture every time: chance that begins at a seed (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A mountain range as the outline of a few waves and some roughness. */
function range(seed: number, base: number, height: number, colour: string): string {
  const random = chance(seed);
  const waves = Array.from({ length: 5 }, (_, index) => ({
    length: 420 / (index + 1) + random() * 120,
    shift: random() * 7,
    size: height / (index + 1.4),
  }));
  const points: string[] = [];
  for (let x = 0; x <= WIDTH; x += 8) {
    const wave = waves.reduce((sum, { length, shift, size }) => sum + Math.abs(Math.sin(x / length + shift)) * size, 0);
    points.push(`${x},${(base - wave / 2 - random() * 7).toFixed(1)}`);
  }
  return `<polygon fill="${colour}" points="0,${SHORE} ${points.join(' ')} ${WIDTH},${SHORE}"/>`;
}

/** A fir: boughs that get wider downwards. */
function fir(x: number, foot: number, height: number, colour: string): string {
  const boughs = Array.from({ length: 6 }, (_, index) => {
    const top = foot - height + (index * height) / 7;
    const half = ((index + 1.5) * height) / 26;
    return `<polygon points="${x},${top} ${x - half},${top + height / 3.4} ${x + half},${top + height / 3.4}"/>`;
  });
  return `<g fill="${colour}"><rect x="${x - height / 50}" y="${foot - height / 6}" width="${height / 25}" height="${height / 6}"/>${boughs.join('')}</g>`;
}

function firs(seed: number, count: number, foot: number, size: number, colour: string): string {
  const random = chance(seed);
  return Array.from({ length: count }, () => {
    // Thinner in the middle, so that the lake is seen.
    const side = random() < 0.5 ? random() ** 1.8 * 620 : WIDTH - random() ** 1.8 * 520;
    return fir(side, foot + random() * 50, size * (0.6 + random() * 0.8), colour);
  }).join('');
}

function stars(seed: number, count: number): string {
  const random = chance(seed);
  return Array.from({ length: count }, () => {
    const y = random() ** 2 * 420;
    const opacity = (0.25 + random() * 0.7) * (1 - y / 460);
    return `<circle cx="${random() * WIDTH}" cy="${y}" r="${0.7 + random() * 1.6}" fill="#fff" opacity="${opacity}"/>`;
  }).join('');
}

function ripples(seed: number, count: number): string {
  const random = chance(seed);
  return Array.from({ length: count }, () => {
    const depth = random();
    const y = SHORE + 12 + depth ** 1.6 * 330;
    const x = random() < 0.55 ? 1020 + (random() - 0.5) * (160 + depth * 420) : random() * WIDTH;
    const length = (14 + random() * 80) * (0.4 + depth);
    return `<rect x="${x - length / 2}" y="${y}" width="${length}" height="${1 + depth * 2.6}" rx="1.5" fill="#ffe3b8" opacity="${0.08 + random() * 0.32}"/>`;
  }).join('');
}

const mountains = [range(11, 640, 330, '#8d7ea9'), range(23, 690, 260, '#655b8d'), range(5, 735, 170, '#443f6c')].join(
  '',
);

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}">
  <defs>
    <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#1b2350"/><stop offset=".45" stop-color="#6a5390"/>
      <stop offset=".75" stop-color="#e58a78"/><stop offset="1" stop-color="#ffd79a"/>
    </linearGradient>
    <linearGradient id="water" x1="0" y1="0" x2="0" y2="1">
      <stop offset="0" stop-color="#f3ad85"/><stop offset=".3" stop-color="#8a6696"/><stop offset="1" stop-color="#141a3c"/>
    </linearGradient>
    <radialGradient id="glow"><stop offset="0" stop-color="#fff3cf"/><stop offset=".18" stop-color="#ffe2a6" stop-opacity=".85"/><stop offset="1" stop-color="#ffb27a" stop-opacity="0"/></radialGradient>
    <linearGradient id="mist" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="#ffd9b0" stop-opacity="0"/><stop offset="1" stop-color="#ffd9b0" stop-opacity=".5"/></linearGradient>
  </defs>
  <rect width="${WIDTH}" height="${SHORE}" fill="url(#sky)"/>
  ${stars(3, 260)}
  <circle cx="1020" cy="520" r="330" fill="url(#glow)"/><circle cx="1020" cy="520" r="46" fill="#fff6dc"/>
  ${mountains}
  <rect y="600" width="${WIDTH}" height="160" fill="url(#mist)"/>
  <rect y="${SHORE}" width="${WIDTH}" height="${HEIGHT - SHORE}" fill="url(#water)"/>
  <g transform="translate(0 ${2 * SHORE}) scale(1 -1)" opacity=".28">${mountains}</g>
  ${ripples(17, 420)}
  ${firs(31, 34, SHORE + 2, 90, '#2a2a52')}
  ${firs(47, 30, SHORE + 130, 230, '#171a38')}
  <path d="M0 1010 Q260 930 520 1040 T980 1130 T1600 1060 V1200 H0 Z" fill="#0c0f24"/>
  ${firs(59, 16, 1090, 430, '#0a0c1e')}
  <g transform="translate(830 905)"><path d="M-78 0 H78 Q62 30 40 30 H-44 Q-66 30 -78 0 Z" fill="#12142c"/><path d="M0 -4 V-120 L62 -14 Z" fill="#fff1d6"/><path d="M-6 -12 V-100 L-48 -14 Z" fill="#f4cfa4"/></g>
</svg>`;

/** A little grain, as film has it: flat colours would make too small a file to be a photograph's. */
const grain = {
  width: WIDTH,
  height: HEIGHT,
  channels: 3 as const,
  noise: { type: 'gaussian' as const, mean: 128, sigma: 22 },
};

const target = fileURLToPath(new URL('./picture.jpg', import.meta.url));
const noise = await sharp({ create: { ...grain, background: '#808080' } })
  .png()
  .toBuffer();
const { size } = await sharp(Buffer.from(svg))
  .composite([{ input: noise, blend: 'soft-light' }])
  .jpeg({ quality: 86, mozjpeg: true })
  .toFile(target);
console.log(`samples/picture.jpg: ${WIDTH}x${HEIGHT}, ${size} bytes`);
