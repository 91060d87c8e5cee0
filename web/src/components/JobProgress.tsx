/** Phase, progress and remaining time of a job. */

import type { Job } from "../api/client";
import { duration, percent } from "../format";

export function JobProgress({ job }: { job: Job }) {
  if (job.phase === null) return <Status job={job} />;
  const waiting = job.status === "queued";
  return (
    <>
      <progress value={waiting ? undefined : job.progress} max={1} aria-label={`Progress of ${job.model}`} />
      <p>
        <Status job={job} /> {job.phase}
        {waiting && job.position !== null && `, number ${job.position} in the queue`}
        {!waiting && `, ${percent(job.progress)}`}
        {job.eta_seconds !== null && `, about ${duration(job.eta_seconds)} left`}
      </p>
    </>
  );
}

export function Status({ job }: { job: Job }) {
  return <span class="badge">{job.status}</span>;
}
