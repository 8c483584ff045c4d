// Lines over logarithmic axes as an SVG, in light and dark. Pure.
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
}

const [WIDTH, HEIGHT] = [640, 360];
const EDGE = { left: 64, right: 150, top: 40, bottom: 48 };
const COLORS = ["#2563eb", "#d97706", "#059669", "#db2777"];

interface Axis {
  readonly from: number;
  readonly to: number;
  readonly place: (value: number) => number;
}

export function svgPlot({ title, x, y, series }: Plot): string {
  const all = series.flatMap(({ points }) => points);
  const horizontal = axis(
    all.map(([value]) => value),
    EDGE.left,
    WIDTH - EDGE.right,
  );
  const vertical = axis(
    all.map(([, value]) => value),
    HEIGHT - EDGE.bottom,
    EDGE.top,
  );
  const parts = [
    text(EDGE.left, 24, title, "start", "bold"),
    ...decades(horizontal).flatMap((value) => [
      line(horizontal.place(value), EDGE.top, horizontal.place(value), HEIGHT - EDGE.bottom),
      text(horizontal.place(value), HEIGHT - EDGE.bottom + 18, label(value), "middle"),
    ]),
    ...decades(vertical).flatMap((value) => [
      line(EDGE.left, vertical.place(value), WIDTH - EDGE.right, vertical.place(value)),
      text(EDGE.left - 8, vertical.place(value) + 4, label(value), "end"),
    ]),
    text((EDGE.left + WIDTH - EDGE.right) / 2, HEIGHT - 8, x, "middle"),
    text(EDGE.left, EDGE.top - 4, y, "end"),
    ...series.flatMap((one, index) => drawSeries(one, COLORS[index % COLORS.length]!, horizontal, vertical)),
  ];
  const style = "text{font:12px sans-serif;fill:#555}.g{stroke:#8884;stroke-width:1}";
  const dark = "@media(prefers-color-scheme:dark){text{fill:#bbb}}";
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><style>${style}${dark}</style>\n${parts.join("\n")}\n</svg>\n`;
}

function drawSeries({ name, points }: Series, color: string, horizontal: Axis, vertical: Axis): readonly string[] {
  const places = points.map(([x, y]) => `${round(horizontal.place(x))},${round(vertical.place(y))}`);
  const [lastX, lastY] = points.at(-1) ?? [horizontal.from, vertical.from];
  return [
    `<polyline points="${places.join(" ")}" fill="none" stroke="${color}" stroke-width="2"/>`,
    ...places.map((place) => {
      const [cx, cy] = place.split(",");
      return `<circle cx="${cx}" cy="${cy}" r="3" fill="${color}"/>`;
    }),
    `<text x="${round(horizontal.place(lastX) + 8)}" y="${round(vertical.place(lastY) + 4)}" style="fill:${color}">${escape(name)}</text>`,
  ];
}

/** From the power of ten at or below the smallest value to the one at or above the largest. */
function axis(values: readonly number[], start: number, end: number): Axis {
  const from = Math.floor(Math.log10(Math.min(...values)));
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))));
  return { from, to, place: (value) => start + ((Math.log10(value) - from) / (to - from)) * (end - start) };
}

function decades({ from, to }: Axis): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
}

function label(value: number): string {
  return value >= 1 ? value.toLocaleString("en") : String(Number(value.toPrecision(1)));
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="g" x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}"/>`;
}

function text(x: number, y: number, words: string, anchor: string, weight = "normal"): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-weight="${weight}">${escape(words)}</text>`;
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
