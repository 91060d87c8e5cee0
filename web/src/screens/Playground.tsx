/** Predictions by hand: an image, a row or a text; the classes with their probabilities, and the request as curl. */

import { useEffect, useState } from "preact/hooks";
import { type Dataset, type Model, type Page, ROOT, type Schemas, send, type Version, write } from "../api/client";
import { useAction, useLoad } from "../api/hooks";
import { Intervals } from "../components/charts";
import { Code, Loading, Problem, Warnings } from "../components/common";
import { FileDrop } from "../components/FileDrop";
import { InputForm } from "../components/InputForm";
import { percent } from "../format";

type Answer = Schemas["PredictOut"];

export function Playground({ reference }: { reference: string }) {
  const models = useLoad<Page<Model>>("/models?limit=100");
  const [chosen, setChosen] = useState(reference);
  if (!models.data) return models.error ? <Problem error={models.error} /> : <Loading what="models" />;
  if (!models.data.data.length) return <p>There is no model yet. A job makes the first one.</p>;
  const references = models.data.data.flatMap((model) => [model.name, ...model.aliases.map((alias) => `${model.name}@${alias.name}`)]);
  const all = chosen && !references.includes(chosen) ? [chosen, ...references] : references;
  const model = chosen || all[0]!;
  const owner = models.data.data.find((one) => one.name === model.split(/[:@]/)[0]);
  return (
    <>
      <h1>Playground</h1>
      <label>
        Model, alias or version
        <select value={model} onChange={(event) => setChosen(event.currentTarget.value)}>
          {all.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      {owner && <Inputs key={model} model={model} owner={owner} />}
    </>
  );
}

function versionOf(model: string, owner: Model): number {
  const [, number] = model.split(":");
  const alias = owner.aliases.find((one) => one.name === (model.split("@")[1] ?? "production"));
  return number ? Number(number) : (alias?.version ?? owner.newest.number);
}

function Inputs({ model, owner }: { model: string; owner: Model }) {
  const version = useLoad<Version>(`/models/${owner.name}/versions/${versionOf(model, owner)}`);
  const dataset = version.data?.lineage.target ?? version.data?.lineage.source;
  const data = useLoad<Dataset>(dataset ? `/datasets/${dataset}` : null);
  const examples = useLoad<Schemas["ExamplePage"]>(dataset ? `/datasets/${dataset}/rows?limit=10` : null);
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [request, setRequest] = useState("");
  const action = useAction();
  useEffect(() => setAnswer(null), [model]);
  if (!version.data) return version.error ? <Problem error={version.error} /> : <Loading what="the model" />;
  const modality = version.data.modality;

  const predict = (input: unknown) => {
    const body = { model, inputs: [input], top_k: 3 };
    setRequest(`curl -X POST ${ROOT}/predict \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`);
    action.run(async () => setAnswer(await write<Answer>("POST", "/predict", body)));
  };
  const predictFile = ([file]: File[]) => {
    const form = new FormData();
    form.append("model", model);
    form.append("top_k", "3");
    form.append("files", file!);
    setRequest(`curl -X POST ${ROOT}/predict -F model=${model} -F top_k=3 -F files=@${file!.name}`);
    action.run(async () => setAnswer(await (await send("/predict", { method: "POST", body: form })).json()));
  };
  return (
    <>
      {modality === "image" || modality === "series" ? (
        <FileDrop multiple={false} label={modality === "image" ? "Drop an image here, or choose one" : "Drop a recording here, or choose one"} onFiles={predictFile} />
      ) : (
        <InputForm modality={modality} dataset={data.data} examples={examples.data?.data ?? []} busy={action.busy} onSubmit={predict} />
      )}
      <Problem error={action.error} />
      {answer && <Result answer={answer} />}
      {request && <Code title="The same with curl" text={request} />}
    </>
  );
}

function Result({ answer }: { answer: Answer }) {
  const prediction = answer.predictions[0]!;
  return (
    <article role="status" aria-label="Prediction">
      <h2>
        {prediction.label} ({percent(prediction.confidence)})
      </h2>
      {prediction.abstained && <p>The confidence is below the threshold of version {answer.version}. Have a person decide.</p>}
      <Intervals label="Most probable classes" items={prediction.top.map((one) => ({ name: one.label, value: one.probability }))} />
      <Warnings items={answer.warnings ?? []} />
      <small>
        {answer.model}, version {answer.version}
      </small>
    </article>
  );
}
