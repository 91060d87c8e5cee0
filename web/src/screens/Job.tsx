/** One job: phase, live curves of both models, trials, warnings, log, cancel. */

import { useEffect, useState } from "preact/hooks";
import { type Job, ROOT, type Schemas, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Facts, Loading, Problem, Warnings } from "../components/common";
import { Curves, type Series } from "../components/Curves";
import { JobProgress } from "../components/JobProgress";
import { Trials } from "../components/Trials";
import { figure, when } from "../format";
import { link } from "../router";

type Point = Schemas["MetricPoint"];

export function JobScreen({ id }: { id: string }) {
  const { data: job, error, reload } = useLoad<Job>(`/jobs/${id}`);
  const [points, setPoints] = useState<Point[]>([]);
  useEffect(() => {
    const events = new EventSource(`${ROOT}/jobs/${id}/events`);
    let due = 0;
    const refresh = () => {
      clearTimeout(due);
      due = window.setTimeout(reload, 200);
    };
    for (const kind of ["started", "progress", "warning", "cancelling", "requeued"]) events.addEventListener(kind, refresh);
    events.addEventListener("metrics", (event) => setPoints((old) => [...old, ...JSON.parse(event.data).points]));
    events.addEventListener("done", () => {
      events.close();
      refresh();
    });
    return () => {
      events.close();
      clearTimeout(due);
    };
  }, [id, reload]);
  if (!job) return error ? <Problem error={error} /> : <Loading what="the job" />;
  return (
    <>
      <h1>Job for {job.model}</h1>
      <div aria-live="polite">
        <JobProgress job={job} />
      </div>
      <Actions job={job} onChange={reload} />
      {job.error && (
        <article class="problem" role="alert">
          <p>
            <code>{job.error.code}</code> {job.error.message}
          </p>
        </article>
      )}
      <Warnings items={job.warnings} />
      <LiveCurves points={points} />
      <Trials job={job} />
      <Facts facts={facts(job)} />
      <Log id={id} status={job.status} />
    </>
  );
}

function Actions({ job, onChange }: { job: Job; onChange: () => void }) {
  const action = useAction();
  const cancel = () => action.run(async () => write("POST", `/jobs/${job.id}/cancel`).then(onChange));
  return (
    <div class="actions">
      {job.version && (
        <a role="button" href={link("models", job.model, "versions", job.version.number)}>
          Report of version {job.version.number}
        </a>
      )}
      {(job.status === "queued" || job.status === "running") && (
        <button class="secondary" aria-busy={action.busy} onClick={cancel}>
          Cancel
        </button>
      )}
      <Problem error={action.error} />
    </div>
  );
}

/** The curve of each model: names of metrics begin with the trial or with `source_only_`. */
function LiveCurves({ points }: { points: Point[] }) {
  const names = [...new Set(points.map((point) => point.name))];
  const suffixes = ["target_accuracy", "source_accuracy", "total", "information_maximisation"].filter((suffix) => names.some((name) => name.endsWith(suffix)));
  const [suffix, setSuffix] = useState("");
  if (!names.length) return null;
  const chosen = suffix || suffixes[0] || names[0]!;
  const series: Series[] = names
    .filter((name) => name.endsWith(chosen))
    .map((name) => ({ name: label(name, chosen), points: points.filter((point) => point.name === name).map((point) => [point.step, point.value]) }));
  return (
    <section aria-label="Curves">
      <h2>Curves</h2>
      <label>
        Metric
        <select value={chosen} onChange={(event) => setSuffix(event.currentTarget.value)}>
          {[...suffixes, ...names.filter((name) => !suffixes.some((one) => name.endsWith(one)))].map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <Curves series={series} label={chosen} />
    </section>
  );
}

const label = (name: string, suffix: string): string => name.slice(0, name.length - suffix.length).replace(/_$/, "").replaceAll("_", " ") || "adapted";

function facts(job: Job): [string, preact.ComponentChildren][] {
  const dataset = (id: string | null) => (id ? <a href={link("datasets", id)}>{id.slice(0, 8)}</a> : "none");
  return [
    ["Method", figure(job.params.algorithm)],
    ...job.sources.map((id): [string, preact.ComponentChildren] => ["Source", dataset(id)]),
    ["Target", dataset(job.target)],
    ["Evaluation", dataset(job.evaluation)],
    ["Attempt", `${job.attempt} of ${job.max_attempts}`],
    ["Submitted", when(job.created_at)],
  ];
}

function Log({ id, status }: { id: string; status: string }) {
  const active = status === "running" || status === "cancelling";
  const log = useLoad<Schemas["JobLog"]>(`/jobs/${id}/logs`, active ? 5 : 0);
  useEffect(log.reload, [status]);
  return (
    <details>
      <summary>Log</summary>
      <pre class="log" tabIndex={0}>
        {log.data?.lines.join("\n") || "The log is empty."}
      </pre>
    </details>
  );
}

