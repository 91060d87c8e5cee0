/** The list of datasets, and uploads by drag and drop. */

import { useState } from "preact/hooks";
import { ApiError, type Dataset, upload } from "../api/client";
import { usePages } from "../api/hooks";
import { Loading, More, Problem, Table } from "../components/common";
import { FileDrop } from "../components/FileDrop";
import { RowErrors } from "../components/RowErrors";
import { bytes, percent, when } from "../format";
import { go, link } from "../router";

interface Upload {
  file: File;
  progress: number;
  error: Error | null;
}

export function Datasets() {
  const datasets = usePages<Dataset>("/datasets");
  const [uploads, setUploads] = useState<Upload[]>([]);
  const change = (file: File, values: Partial<Upload>) =>
    setUploads((all) => all.map((one) => (one.file === file ? { ...one, ...values } : one)));

  const add = async (files: File[]) => {
    setUploads((all) => [...all.filter((one) => !one.error), ...files.map((file) => ({ file, progress: 0, error: null }))]);
    const results = await Promise.allSettled(files.map((file) => send(file, (progress) => change(file, { progress }))));
    results.forEach((result, index) => {
      if (result.status === "rejected") change(files[index]!, { error: result.reason });
      else setUploads((all) => all.filter((one) => one.file !== files[index]));
    });
    datasets.reload();
    const only = results[0];
    if (results.length === 1 && only?.status === "fulfilled") go(link("datasets", only.value.id));
  };

  return (
    <>
      <h1>Datasets</h1>
      <FileDrop onFiles={add} />
      {uploads.map((one) => (
        <UploadState key={one.file.name} upload={one} />
      ))}
      <Problem error={datasets.error} />
      {datasets.data ? <DatasetTable datasets={datasets.data} /> : <Loading what="datasets" />}
      <More load={datasets.more} />
    </>
  );
}

function send(file: File, onProgress: (fraction: number) => void): Promise<Dataset> {
  const form = new FormData();
  form.append("name", file.name.replace(/(\.[A-Za-z0-9]{1,7}){1,2}$/, "") || file.name);
  form.append("file", file);
  return upload(form, onProgress);
}

function UploadState({ upload: { file, progress, error } }: { upload: Upload }) {
  if (error)
    return (
      <section aria-label={`Errors in ${file.name}`}>
        <h2>{file.name} was not accepted</h2>
        <Problem error={error} />
        {error instanceof ApiError && <RowErrors file={file} errors={error.problem?.errors ?? []} />}
      </section>
    );
  return (
    <div role="status">
      {file.name}: {progress < 1 ? percent(progress) : "the file is checked"}
      <progress value={progress < 1 ? progress : undefined} max={1} aria-label={`Upload of ${file.name}`} />
    </div>
  );
}

function DatasetTable({ datasets }: { datasets: Dataset[] }) {
  if (!datasets.length) return <p>There is no dataset yet.</p>;
  return (
    <Table caption="Datasets" head={["Name", "Modality", "Rows", "Classes", "Warnings", "Size", "Uploaded"]}>
      {datasets.map((one) => (
        <tr key={one.id}>
          <th scope="row">
            <a href={link("datasets", one.id)}>{one.name}</a>
          </th>
          <td>{one.modality}</td>
          <td>{one.rows}</td>
          <td>{one.classes ? Object.keys(one.classes).length : "no labels"}</td>
          <td>{one.warnings.length || ""}</td>
          <td>{bytes(one.size_bytes)}</td>
          <td>{when(one.created_at)}</td>
        </tr>
      ))}
    </Table>
  );
}
