/** Curves of metrics over steps. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  name: string;
  points: [number, number][];
}

const COLOURS = ["#0b6e75", "#c2410c", "#6d28d9", "#15803d", "#be185d", "#a16207"];

export function Curves({ series, label }: { series: Series[]; label: string }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = host.current!;
    const steps = [...new Set(series.flatMap((one) => one.points.map(([step]) => step)))].sort((a, b) => a - b);
    const columns = series.map((one) => {
      const values = new Map(one.points);
      return steps.map((step) => values.get(step) ?? null);
    });
    const axis = { stroke: getComputedStyle(element).color, grid: { stroke: "#8884", width: 1 }, ticks: { stroke: "#8884", width: 1 } };
    const options: uPlot.Options = {
      width: element.clientWidth,
      height: 220,
      scales: { x: { time: false } },
      axes: [axis, axis],
      series: [{ label: "step" }, ...series.map((one, index) => ({ label: one.name, stroke: COLOURS[index % COLOURS.length], width: 2, spanGaps: true }))],
    };
    const plot = new uPlot(options, [steps, ...columns], element);
    const resize = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: 220 }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.destroy();
    };
  }, [series]);
  return <div class="curves" ref={host} role="img" aria-label={`${label}: ${describe(series)}`} />;
}

const describe = (series: Series[]): string =>
  series.map((one) => `${one.name} ends at ${one.points.at(-1)?.[1].toPrecision(3) ?? "no value"}`).join(", ");
