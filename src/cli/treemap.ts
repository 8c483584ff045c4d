// The store as a treemap (SVG): one rectangle per thing, as large as what it takes on the disk, in one frame per kind. Squarified (Bruls, Huizing, van Wijk):
// rectangles stay as near to squares as they can, so that areas can be compared.
import { isoOfMs } from "../base/clock.ts";
import { formatBytes } from "../base/size-text.ts";
import type { CacheEntry, CacheUsage } from "../index.ts";

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Placed<T> extends Box {
  readonly value: T;
}

const WIDTH = 1600;
const HEIGHT = 1000;
const TITLE = 40;
const HEADER = 20;
/** Smaller things of a kind are shown as one. */
const LEAST_SHARE = 0.0005;
const CHARACTER = 6.6;

const COLORS: Readonly<Record<CacheEntry["kind"], string>> = {
  layer: "#4e79a7",
  blob: "#76b7b2",
  mount: "#f28e2b",
  source: "#59a14f",
  context: "#8cd17d",
  log: "#bab0ac",
  record: "#edc948",
  database: "#b07aa1",
  stray: "#e15759",
  temporary: "#ff9da7",
  other: "#9c755f",
};

interface Tile {
  readonly label: string;
  readonly size: number;
  readonly title: string;
}

/** The whole document. */
export function renderTreemap({ entries, total }: CacheUsage): string {
  const kinds = [...Map.groupBy(entries, ({ kind }) => kind)].map(([kind, items]) => ({
    kind,
    size: sumOf(items),
    tiles: tilesOf(items, total),
  }));
  const area = { x: 0, y: TITLE, width: WIDTH, height: HEIGHT - TITLE };
  const frames = squarify(kinds, area).map(({ value: { kind, size, tiles }, ...box }) => {
    const inner = inset(box);
    const head = text(box.x + 5, box.y + 14, `${kind} ${formatBytes(size)}`, box.width - 8, "head");
    const rectangles = inner ? squarify(tiles, inner).map((tile) => rectangle(tile, COLORS[kind])) : [];
    return `<rect class="frame" x="${n(box.x)}" y="${n(box.y)}" width="${n(box.width)}" height="${n(box.height)}"><title>${escapeXml(`${kind}: ${formatBytes(size)}`)}</title></rect>\n${head}${rectangles.join("")}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="ui-monospace, monospace" font-size="11">
<style>.frame{fill:#f4f4f4;stroke:#555}.tile{stroke:#fff;stroke-width:1}text{fill:#fff;pointer-events:none}.head,.total{fill:#222;font-weight:bold}.total{font-size:18px}</style>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text class="total" x="8" y="26">${escapeXml(`tsbuild cache: ${formatBytes(total)} in ${entries.length} things`)}</text>
${frames.join("")}</svg>
`;
}

function tilesOf(entries: readonly CacheEntry[], total: number): readonly Tile[] {
  const isBig = ({ size }: CacheEntry): boolean => size >= total * LEAST_SHARE;
  const tiles = entries.filter(isBig).map((entry): Tile => {
    const name = entry.description.replace(/\s+/g, " ").trim() || entry.id;
    const used = isoOfMs(entry.lastUsedMs).slice(0, 16).replace("T", " ");
    return {
      label: name,
      size: entry.size,
      title: `${name}\n${formatBytes(entry.size)}, used ${entry.uses} times, last ${used}\n${entry.id}`,
    };
  });
  const small = entries.filter((entry) => !isBig(entry));
  if (small.length === 0) return tiles;
  const label = `${small.length} small ones`;
  return [...tiles, { label, size: sumOf(small), title: `${label}\n${formatBytes(sumOf(small))}` }];
}

function rectangle({ value, x, y, width, height }: Placed<Tile>, color: string): string {
  const box = `<rect class="tile" x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}" fill="${color}"><title>${escapeXml(value.title)}</title></rect>\n`;
  if (height < 15) return box;
  const label = text(x + 4, y + 13, value.label, width - 6);
  return height < 30 ? box + label : box + label + text(x + 4, y + 27, formatBytes(value.size), width - 6);
}

/** As much of the text as fits; nothing where that would be a stump. */
function text(x: number, y: number, words: string, width: number, style = ""): string {
  const length = Math.floor(width / CHARACTER);
  if (length < 3) return "";
  const shown = words.length <= length ? words : `${words.slice(0, length - 1)}…`;
  const attribute = style === "" ? "" : ` class="${style}"`;
  return `<text${attribute} x="${n(x)}" y="${n(y)}">${escapeXml(shown)}</text>\n`;
}

function inset({ x, y, width, height }: Box): Box | undefined {
  const inner = { x: x + 2, y: y + HEADER, width: width - 4, height: height - HEADER - 2 };
  return inner.width > 1 && inner.height > 1 ? inner : undefined;
}

/** Rectangles in `box` whose areas are as the sizes, the largest first. Things of no size are left out. */
export function squarify<T extends { readonly size: number }>(items: readonly T[], box: Box): readonly Placed<T>[] {
  const sorted = items.filter(({ size }) => size > 0).toSorted((a, b) => b.size - a.size);
  const placed: Placed<T>[] = [];
  let rest = box;
  let left = sumOf(sorted);
  for (let at = 0; at < sorted.length;) {
    const scale = (rest.width * rest.height) / left;
    const side = Math.min(rest.width, rest.height);
    let count = 1;
    while (
      at + count < sorted.length &&
      worstRatio(sorted.slice(at, at + count + 1), scale, side) <= worstRatio(sorted.slice(at, at + count), scale, side)
    )
      count++;
    const row = sorted.slice(at, at + count);
    rest = placeRow(row, rest, scale, placed);
    left -= sumOf(row);
    at += count;
  }
  return placed;
}

/** How far from a square the worst of a row is that fills one side. */
function worstRatio(row: readonly { readonly size: number }[], scale: number, side: number): number {
  const thickness = (sumOf(row) * scale) / side;
  return Math.max(
    ...row.map(({ size }) => {
      const length = (size * scale) / thickness;
      return Math.max(length / thickness, thickness / length);
    }),
  );
}

/** Puts a row along the shorter side; returns what is left of the box. */
function placeRow<T extends { readonly size: number }>(
  row: readonly T[],
  box: Box,
  scale: number,
  placed: Placed<T>[],
): Box {
  const isUpright = box.width >= box.height;
  const thickness = (sumOf(row) * scale) / Math.min(box.width, box.height);
  let offset = 0;
  for (const value of row) {
    const length = (value.size * scale) / thickness;
    placed.push(
      isUpright
        ? { value, x: box.x, y: box.y + offset, width: thickness, height: length }
        : { value, x: box.x + offset, y: box.y, width: length, height: thickness },
    );
    offset += length;
  }
  return isUpright
    ? { ...box, x: box.x + thickness, width: Math.max(0, box.width - thickness) }
    : { ...box, y: box.y + thickness, height: Math.max(0, box.height - thickness) };
}

function sumOf(items: readonly { readonly size: number }[]): number {
  return items.reduce((sum, { size }) => sum + size, 0);
}

function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escapeXml(words: string): string {
  return words
    .replace(/[^\t\n -\ud7ff\ue000-\ufffd]/g, "�")
    .replace(/[&<>"]/g, (character) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[character] ?? "&quot;");
}
