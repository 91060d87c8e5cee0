/** The list of jobs. */

import type { Job } from "../api/client";
import { usePages } from "../api/hooks";
import { Loading, More, Problem, Table } from "../components/common";
import { Status } from "../components/JobProgress";
import { figure, when } from "../format";
import { link } from "../router";

export function Jobs() {
  const jobs = usePages<Job>("/jobs");
  return (
    <>
      <h1>Jobs</h1>
      <p>
        <a role="button" href="#/jobs/new">
          New job
        </a>
      </p>
      <Problem error={jobs.error} />
      {jobs.data ? (
        <Table caption="Jobs" head={["Model", "Status", "Phase", "Method", "Version", "Submitted"]}>
          {jobs.data.map((job) => (
            <tr key={job.id}>
              <th scope="row">
                <a href={link("jobs", job.id)}>{job.model}</a>
              </th>
              <td>
                <Status job={job} />
              </td>
              <td>{job.phase}</td>
              <td>{figure(job.params.algorithm)}</td>
              <td>{job.version && <a href={link("models", job.model, "versions", job.version.number)}>version {job.version.number}</a>}</td>
              <td>{when(job.created_at)}</td>
            </tr>
          ))}
        </Table>
      ) : (
        <Loading what="jobs" />
      )}
      <More load={jobs.more} />
    </>
  );
}
