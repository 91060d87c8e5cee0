/** A few thousand points on a canvas, and a lasso. WebGL libraries generate code at run time, which the content policy forbids. */

import { useEffect, useRef, useState } from "preact/hooks";

export interface Dot {
  x: number;
  y: number;
  colour: string;
  hollow: boolean;
}

type Point = [number, number];

interface ScatterProps {
  label: string;
  dots: Dot[];
  selected: number[];
  onSelect: (indices: number[]) => void;
}

const MARGIN = 12;
const RADIUS = 3;

export function Scatter({ label, dots, selected, onSelect }: ScatterProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [lasso, setLasso] = useState<Point[]>([]);
  const places = useRef<Point[]>([]);
  const [size, setSize] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(() => setSize(canvas.current!.clientWidth));
    observer.observe(canvas.current!);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    places.current = draw(canvas.current!, dots, new Set(selected), lasso);
  }, [dots, selected, lasso, size]);

  const at = (event: PointerEvent): Point => [event.offsetX, event.offsetY];
  const end = () => {
    if (lasso.length > 2) onSelect(places.current.flatMap((place, index) => (isInside(place, lasso) ? [index] : [])));
    setLasso([]);
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "a") onSelect(dots.map((_, index) => index));
    if (event.key === "Escape") onSelect([]);
  };
  return (
    <canvas
      ref={canvas}
      class="scatter"
      role="img"
      tabIndex={0}
      aria-label={`${label}: ${dots.length} points, ${selected.length} selected. Key a selects all, Escape none.`}
      onKeyDown={key}
      onPointerDown={(event) => setLasso([at(event)])}
      onPointerMove={(event) => lasso.length && setLasso([...lasso, at(event)])}
      onPointerUp={end}
      onPointerLeave={() => lasso.length && end()}
    />
  );
}

/** Draw everything and return where each dot is. */
function draw(canvas: HTMLCanvasElement, dots: Dot[], selected: Set<number>, lasso: Point[]): Point[] {
  const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  const places = project(dots, width, height);
  dots.forEach((dot, index) => {
    context.globalAlpha = selected.size && !selected.has(index) ? 0.15 : 0.85;
    context.beginPath();
    context.arc(...places[index]!, RADIUS, 0, 2 * Math.PI);
    context.fillStyle = context.strokeStyle = dot.colour;
    if (dot.hollow) context.stroke();
    else context.fill();
  });
  context.globalAlpha = 1;
  context.strokeStyle = getComputedStyle(canvas).color;
  context.beginPath();
  for (const point of lasso) context.lineTo(...point);
  context.stroke();
  return places;
}

function project(dots: Dot[], width: number, height: number): Point[] {
  const [xs, ys] = [dots.map((dot) => dot.x), dots.map((dot) => dot.y)];
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const place = (value: number, low: number, high: number, length: number) => MARGIN + ((value - low) / (high - low || 1)) * (length - 2 * MARGIN);
  return dots.map((dot) => [place(dot.x, left, right, width), height - place(dot.y, bottom, top, height)]);
}

/** Whether a point lies in a polygon: a ray to the right crosses its sides an odd number of times. */
function isInside([x, y]: Point, polygon: Point[]): boolean {
  let inside = false;
  polygon.forEach(([x1, y1], index) => {
    const [x2, y2] = polygon[(index + polygon.length - 1) % polygon.length]!;
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  });
  return inside;
}
