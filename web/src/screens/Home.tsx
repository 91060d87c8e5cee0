/** Running jobs, the newest versions, the workers, and what can be done next. */

import type { Job, Model, Page, Schemas } from "../api/client";
import { useLoad } from "../api/hooks";
import { Loading, Problem } from "../components/common";
import { JobProgress } from "../components/JobProgress";
import { ModelCard } from "../components/ModelCard";
import { link } from "../router";

export function Home() {
  const jobs = useLoad<Page<Job>>("/jobs?status=queued&status=running&status=cancelling", 2);
  const models = useLoad<Page<Model>>("/models?limit=6", 10);
  const workers = useLoad<Schemas["WorkerList"]>("/workers", 10);
  const datasets = useLoad<Page<Schemas["DatasetOut"]>>("/datasets?limit=2");
  return (
    <>
      <h1>Isthmus</h1>
      <Problem error={jobs.error ?? models.error ?? workers.error} />
      <NextSteps datasets={datasets.data?.data.length ?? null} models={models.data?.data ?? null} />
      <section aria-label="Running jobs">
        <h2>Running jobs</h2>
        {jobs.data ? (
          <div class="cards">
            {jobs.data.data.map((job) => (
              <article key={job.id}>
                <h3>
                  <a href={link("jobs", job.id)}>{job.model}</a>
                </h3>
                <JobProgress job={job} />
              </article>
            ))}
            {!jobs.data.data.length && <p>No job is running.</p>}
          </div>
        ) : (
          <Loading what="jobs" />
        )}
      </section>
      <section aria-label="Newest versions">
        <h2>Newest versions</h2>
        <div class="cards">
          {models.data?.data.map((model) => <ModelCard key={model.name} model={model} />)}
          {models.data && !models.data.data.length && <p>There is no model yet. A job makes the first one.</p>}
        </div>
      </section>
      <section aria-label="Workers">
        <h2>Workers</h2>
        {workers.data && <WorkerLine workers={workers.data.data} />}
      </section>
    </>
  );
}

function NextSteps({ datasets, models }: { datasets: number | null; models: Model[] | null }) {
  if (datasets === null || models === null) return null;
  if (datasets < 2)
    return (
      <p>
        Begin with two files: labelled data of one domain, and data of another domain without labels. <a href="#/datasets">Upload the files</a>
      </p>
    );
  const waiting = models.filter((model) => !model.aliases.some((alias) => alias.name === "production"));
  return (
    <div class="actions">
      <a role="button" href="#/jobs/new">
        New job
      </a>
      {waiting.slice(0, 3).map((model) => (
        <a key={model.name} role="button" class="secondary outline" href={link("models", model.name)}>
          {model.name}: no version in production
        </a>
      ))}
    </div>
  );
}

function WorkerLine({ workers }: { workers: Schemas["WorkerOut"][] }) {
  if (!workers.length) return <p>No worker has sent a heartbeat. Jobs wait until one starts: `isthmus worker`.</p>;
  const count = (state: string) => workers.filter((worker) => worker.state === state).length;
  return (
    <p>
      {count("busy")} busy, {count("idle")} idle, {count("lost")} lost. <a href="#/settings">Details</a>
    </p>
  );
}
